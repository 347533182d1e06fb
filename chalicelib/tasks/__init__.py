"""Task definitions, which people edit, and their own EventBridge rules."""
