"""banno-creds: from a key pair to a Jack Henry / Banno access token, with every step in sight."""

__version__ = "0.1.0"
