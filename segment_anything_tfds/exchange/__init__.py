"""Exports records to other formats; imports masks from annotation tools and own data."""
