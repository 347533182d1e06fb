"""The stage's bucket: where objects lie, how they are written, and links to them."""
