"""Definitions that people edit, and their EventBridge rules: both lead to slots."""
