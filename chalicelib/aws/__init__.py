"""Thin speakers to SQS, S3, Secrets Manager and EventBridge: they translate, and decide nothing."""
