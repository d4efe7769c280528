"""Training: the one loop, what it runs on, and checkpoints that make a killed run end like an uninterrupted one."""
