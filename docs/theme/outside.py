"""A hook of mkdocs: links of pages to files above docs/, which the site doesn't have, become their text."""

import re
from pathlib import Path
from typing import Any

#: A link of a page to a file above docs/, such as [registry.py](../src/peerage/registry.py).
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace links to files outside of docs/ by their text; one to a missing file fails the build."""
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def text(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        return link[1] if target.exists() and not target.is_relative_to(docs.resolve()) else link[0]

    return _OUTSIDE.sub(text, markdown)
