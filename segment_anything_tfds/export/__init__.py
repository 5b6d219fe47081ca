"""Other formats: written from a prepared dataset or from archives."""
