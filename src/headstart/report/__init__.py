"""The report of a run: a pure view of the files in its folder."""
