"""What the site needs beside Sphinx, MyST and the theme: the API page and links to sources."""
