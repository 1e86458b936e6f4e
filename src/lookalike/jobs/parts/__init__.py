"""What the verbs share: each file serves several of them, or one that is too long for a file."""
