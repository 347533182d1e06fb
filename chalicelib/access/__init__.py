"""Who acts, in which role, by which token; and the audit of what they did."""
