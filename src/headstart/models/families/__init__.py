"""Model families that no kept library carries any more: one family, one file.

Each file holds the architecture as a plain ``nn.Module`` whose default arguments are the published size, the
front end where the input is sound, and ``published``, which turns the key layout of the published checkpoint
into ours. A state that has our layout already passes through ``published`` unchanged.
"""
