"""What runs a graph besides the interpreter: each backend prints source and drives a compiler for it."""
