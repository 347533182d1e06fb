"""PostgreSQL: CSV made by COPY on the server."""
