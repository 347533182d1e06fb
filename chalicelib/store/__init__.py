"""DynamoDB: pynamodb models (columns only) and the functions that read and write them. The only conditional writes."""
