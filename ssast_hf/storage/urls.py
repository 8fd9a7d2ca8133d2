"""Addresses as texts: which ones may be fetched from, and how they are shown. Nothing here opens a connection."""

import ipaddress
import re
from urllib.parse import urlsplit


def check_url(url: str) -> str:
    """The url, if it is https, or plain http to this very machine, without a password; a ValueError otherwise."""
    parts = urlsplit(url)
    if "@" in parts.netloc or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(f"{shown(url)} was given with a user name, a space or a control character; leave it out.")
    try:
        is_loopback = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_loopback = False
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback)):
        raise ValueError(f"{shown(url)} is not https; this goes over https only, except on this very machine.")
    return url


def shown(url: str) -> str:
    """A url for messages: without a user's name and password, and without the query, which may hold a token."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
