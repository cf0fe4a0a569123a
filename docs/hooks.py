"""mkdocs: pages whose texts lie elsewhere in the repository; links lead there as they do in the repository."""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {  # page -> text
    "cards/sngan-heads-128.md": "models/weights/sngan-heads-128.md",
    "cards/stylegan2-heads-128.md": "models/weights/stylegan2-heads-128.md",
    "cards/finisher.md": "models/weights/finisher.md",
    "cards/locator.md": "models/weights/locator.md",
    "cards/pose.md": "models/weights/pose.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
}
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, text in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / text)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    source = ROOT / ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    pages = {ROOT / text: ROOT / "docs" / moved for moved, text in ELSEWHERE.items()}

    def moved(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / link[1]))
        return os.path.relpath(pages.get(target, target), (ROOT / "docs" / page.file.src_uri).parent)

    return LINK.sub(moved, markdown)
