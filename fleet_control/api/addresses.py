"""Addresses that notices and tokens may be sent to."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from fleet_control.errors import WebhookError


def checked_address(url: str, *, allow_plain: bool) -> SplitResult:
    """Return the parts of a webhook's address.

    Args:
        url: The address.
        allow_plain: Take http to other machines.

    Raises:
        WebhookError: it cannot be used; never quotes it, for its path may be a secret.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise WebhookError("the webhook's address cannot be read: https://HOST/PATH is expected") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise WebhookError("the webhook's address is not https://HOST/PATH without user and fragment")
    if not url.isascii() or any(character <= " " for character in url):
        raise WebhookError("the webhook's address has characters that no address has")
    if parts.scheme == "http" and not allow_plain and not is_loopback(parts.hostname):
        raise WebhookError(f"notices to {parts.hostname} would travel unencrypted: use https")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host's name is that of this machine, without asking anybody."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
