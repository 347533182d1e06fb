"""A view for each route: parses nothing, calls one use case, gives back what the answer is made from."""
