"""A word of warning where a head is turned away and what the generator made of it looks at the viewer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infer.editor.session import Session
from infer.editor.steps import ChangeClass, Step
from infer.photo.box import crop_square
from models.perception.pose import load_pose

# Of the turn that `PoseNetwork.turn` measures: photos from the first on are turned, pictures below this share of the
# photo's are frontal beside it.
LEAST_TURN, FRONTAL = 0.4, 0.75


def say_turned(session: Session, steps: Sequence[Step], image: NDArray[np.uint8]) -> None:
    """Say so where the class of a whole head changes, it is turned in the photo, and the picture [R,R,3] is frontal."""
    whole = [step for step in steps if isinstance(step, ChangeClass) and isinstance(step.region, str)]
    if session.sample is not None or not whole:
        return
    network = load_pose()
    crop = crop_square(session.need_photo().pixels, session.box, len(image))
    before, after = network.turn(crop), network.turn(image)
    if before >= LEAST_TURN and after <= FRONTAL * before:
        names = " + ".join(dict.fromkeys(step.name for step in whole))
        text = f"the head is turned ({before:.2f}), what {names} shows is frontal ({after:.2f}): expect a frontal face;"
        session.say_once(f"{text} give another class or photo", about=f"turned {names}")
