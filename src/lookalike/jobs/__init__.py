"""One verb a file: the table of contents of the program."""
