"""Files by address, from hosts that whoever runs the service has named."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from vtoon.errors import VtoonError
from vtoon.web.service.service import TooLong

SECONDS, CHUNK = 30, 1 << 20


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: where it leads, nobody has allowed."""

    def redirect_request(self, *_: object) -> None:
        return None


@contextmanager
def fetched(url: str, hosts: Sequence[str], most: int) -> Iterator[tuple[str, BinaryIO]]:
    """(name, content) of at most `most` bytes. Raises VtoonError where the host is not allowed or does not give it."""
    parts = urllib.parse.urlsplit(url)
    if not hosts:
        raise VtoonError("this service fetches nothing; send the file (--url_hosts allows hosts)")
    if parts.scheme not in ("http", "https") or parts.netloc.lower() not in hosts:
        raise VtoonError(f"url must be of http or https and of one of these hosts: {', '.join(hosts)}")
    with tempfile.TemporaryFile() as target:
        try:
            opener = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=SECONDS) as source:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    if target.tell() > most:
                        raise TooLong(f"larger than {most >> 20} MB (--max_mb)")
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise VtoonError(f"{parts.netloc}: did not give the file ({error})") from None
        target.seek(0)
        yield os.path.basename(parts.path) or "clip", target
