"""advise: when does transfer pay, and which approach first? A tree that a person can read, fed by measured facts."""
