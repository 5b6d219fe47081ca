"""From the links file to bytes: links, HTTP, downloads. Queries of signed links stay in here."""
