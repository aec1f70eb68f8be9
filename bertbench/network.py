"""The address of the Hugging Face hub in, whether it can be reached out, within a second."""

import os
import socket
import urllib.parse


def reachable(seconds: float = 1.0) -> bool:
    """Tell whether the hub, or the proxy on the way to it, takes a connection."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    url = urllib.parse.urlparse(proxy or endpoint)
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        with socket.create_connection((url.hostname or "", port), timeout=seconds):
            return True
    except OSError:
        return False
