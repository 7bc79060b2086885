"""What `compare` is made of: the programs, the rows, how a row is run, how results are kept and shown."""
