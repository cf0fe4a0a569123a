"""The page of a human study: two pictures, one question, three answers, by keyboard or by finger."""

import base64
import functools
import html
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from infer.app import shell
from infer.evaluate.report_files import picture_png
from infer.evaluate.study_pairs import Pair, Picture, shown
from infer.evaluate.two_afc import Choice, Session, Trial
from models.terminal import Say

_LABELS: dict[Choice, str] = {"left": "← Left", "undecided": "Undecided", "right": "Right →"}
_CSS = """
.gradio-container { max-width: 1200px !important; margin: 0 auto; }
#study .html-container { padding: 0; }
#study h1 { font-size: 1.2rem; font-weight: 600; margin: 0.2rem 0 0.8rem; text-align: center; }
#study progress { appearance: none; border: 0; width: 100%; height: 0.4rem; background: var(--border-color-primary); }
#study progress::-webkit-progress-bar { background: var(--border-color-primary); }
#study progress::-webkit-progress-value { background: var(--body-text-color-subdued); }
#study progress::-moz-progress-bar { background: var(--body-text-color-subdued); }
#study .told, .keys { color: var(--body-text-color-subdued); text-align: center; margin: 0; }
#study .pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 0.6rem; }
#study img { width: 100%; height: min(60vh, 48vw, 560px); object-fit: contain; cursor: pointer; display: block; }
#answers { flex-wrap: nowrap; gap: 0.6rem; }
#answers button { min-width: 0; padding-left: 0.2rem; padding-right: 0.2rem; }
#study-back { max-width: 8rem; margin: 0 auto; }
@media (max-width: 500px) {
  #study, #answers { margin: 0 -1.5rem; width: calc(100% + 3rem) !important; max-width: none; }
  #study .pictures { gap: 0.25rem; }
  .keys { display: none; }
}
"""
# A space on a button that was reached with Tab presses it, as everywhere; one clicked by a pointer keeps no focus.
_KEYS = """<script>
(() => {
  const keys = { ArrowLeft: "left", ArrowRight: "right", " ": "undecided", Backspace: "back" };
  const press = (name) => document.getElementById("study-" + name)?.click();
  document.addEventListener("keydown", (event) => {
    const name = keys[event.key];
    if (!name || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === " " && document.activeElement?.tagName === "BUTTON") return;
    event.preventDefault();
    if (!event.repeat) press(name);
  });
  document.addEventListener("click", (event) => {
    if (event.detail > 0) document.activeElement?.blur();
    const side = event.target.closest?.("#study img")?.dataset.side;
    if (side) press(side);
  });
})();
</script>"""
# The number of the trial that the participant has seen goes along: an answer to another one is none.
_SEEN = "() => [Number(document.querySelector('#study [data-number]')?.dataset.number ?? 0)]"
_SHOWN = 4  # pairs that are kept ready, for going back


def study_page(session: Session, *, say: Say) -> gr.Blocks:
    """A page on which a participant answers; hand it to `infer.app.shell.serve`.

    Args:
        session: the participant's.
        say: is told when all is answered.
    """
    page = _Page(session, say)
    with shell.blocks("Photograft: study", css=_CSS, head=_KEYS) as demo:
        view = gr.HTML(elem_id="study", padding=False)
        seen = gr.Number(visible=False)
        with gr.Row(elem_id="answers"):
            buttons = {choice: gr.Button(text, elem_id=f"study-{choice}") for choice, text in _LABELS.items()}
        back = gr.Button("Back", elem_id="study-back", size="sm", variant="secondary")
        gr.HTML('<p class="keys">Keys: ← left, → right, space undecided, Backspace back</p>', padding=False)
        outputs = [view, *buttons.values(), back]
        events = [(button, page.answering(choice)) for choice, button in buttons.items()] + [(back, page.back)]
        for button, event in events:
            button.click(
                event, inputs=seen, outputs=outputs, js=_SEEN, show_progress="hidden", concurrency_id="study",
                concurrency_limit=1,
            )  # fmt: skip
        demo.load(page.updates, outputs=outputs, show_progress="hidden")
    return demo


class _Page:
    """What the events do. The session's truth is the server's: however many windows show it, they show the same."""

    def __init__(self, session: Session, say: Say) -> None:
        self.session, self.say = session, say
        self._since = (0, 0.0)  # number of the trial that is shown, and from when on
        self._pictures = functools.lru_cache(_SHOWN)(_data_of)

    def answering(self, choice: Choice) -> Callable[[float], list[Any]]:
        """The event of a button."""

        def answer(seen: float) -> list[Any]:
            with shell.told():
                number, since = self._since
                seconds = time.monotonic() - since if number == int(seen) else 0.0
                if self.session.answer(int(seen), choice, seconds) and self.session.trial is None:
                    self.say(f"{self.session.participant} has answered all {self.session.done} pairs")
                return self.updates()

        return answer

    def back(self, seen: float) -> list[Any]:
        """The event of going back."""
        with shell.told():
            self.session.back(int(seen))
            return self.updates()

    def updates(self) -> list[Any]:
        """The view, and which buttons can be pressed."""
        with shell.told():
            trial = self.session.trial
            content = self._end() if trial is None else self._pair(trial)
            asked = [gr.update(interactive=trial is not None)] * len(_LABELS)
            return [content, *asked, gr.update(interactive=self.session.done > 0)]

    def _pair(self, trial: Trial) -> str:
        pair = self.session.pairs[trial.pair]
        sources = dict(zip(("first", "second"), self._pictures(pair), strict=True))
        other = "second" if trial.left == "first" else "first"
        pictures = "".join(
            f'<img data-side="{side}" alt="{side.capitalize()} picture" src="{sources[which]}">'
            for side, which in (("left", trial.left), ("right", other))
        )
        if self._since[0] != trial.number:
            self._since = (trial.number, time.monotonic())
        said = f"{trial.number} of {len(self.session.order)}"
        return self._page(trial.number, said, pair.question, f'<div class="pictures">{pictures}</div>')

    def _end(self) -> str:
        total = len(self.session.order)
        return self._page(total + 1, f"{total} of {total}", "Thank you: that was the last pair.", "")

    def _page(self, number: int, said: str, title: str, content: str) -> str:
        total = len(self.session.order)
        return (
            f'<div data-number="{number}">'
            f'<progress value="{self.session.done}" max="{total}" aria-label="answered"></progress>'
            f'<p class="told" aria-live="polite">{said}</p><h1>{html.escape(title)}</h1>{content}</div>'
        )


def _data_of(pair: Pair) -> tuple[str, str]:
    """Both pictures as addresses that hold them: no name, no path and no metadata comes along."""
    first, second = (_data(picture) for picture in shown(pair))
    return first, second


def _data(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture_png(picture)).decode()
