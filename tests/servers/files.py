"""A server of documents by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .loopback import LoopbackServer, Request, Says

if TYPE_CHECKING:
    import ssl


class FileServer(LoopbackServer):
    """It serves JSON and HTML, and redirects.

    Attributes:
        documents: by path: JSON as bytes, HTML as text, or the URL of a redirect.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context=context)
        self.documents: dict[str, bytes | str] = {}
        if context is not None:
            self.origin = f"https://localhost:{self.port}"

    def answer(self, request: Request) -> Says:
        document = self.documents.get(request.path.partition("?")[0])
        if document is None:
            return Says(404)
        if isinstance(document, bytes):
            # Without the last one the doctor warns: a set should say how long it may be kept.
            return Says(body=document, headers={"content-type": "application/json", "cache-control": "max-age=3600"})
        if document.startswith("http"):
            return Says(303, headers={"location": document})
        return Says(body=document.encode(), headers={"content-type": "text/html"})
