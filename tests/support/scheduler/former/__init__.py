"""The decisions as they were before they took rows."""
