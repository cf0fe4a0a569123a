"""A word of warning where a head is turned away and what the generator made of it is so less."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infer.editor.session import Session
from infer.editor.steps import ChangeClass, Step
from infer.photo.box import crop_square
from models.perception.pose import load_pose

# Of the turn that `PoseNetwork.turn` measures: photos from the first on are turned, pictures below this share of the
# photo's show less of it. On 68 photos of pets this is said of 5 of 8 profiles (what was made of the others is turned),
# of 7 of 22 heads in between, and of none of 38 that look at the viewer.
LEAST_TURN, LESS = 0.4, 0.85


def say_turned(session: Session, steps: Sequence[Step], image: NDArray[np.uint8]) -> None:
    """Say so where the class of a whole head changes, it is turned in the photo, and less in the picture [R,R,3]."""
    whole = [step for step in steps if isinstance(step, ChangeClass) and isinstance(step.region, str)]
    if session.sample is not None or not whole:
        return
    network = load_pose()
    crop = crop_square(session.need_photo().pixels, session.box, len(image))
    before, after = network.turn(crop), network.turn(image)
    if before >= LEAST_TURN and after <= LESS * before:
        names = " + ".join(dict.fromkeys(step.name for step in whole))
        text = (
            f"the head is turned ({before:.2f}), what {names} shows less so ({after:.2f}): expect a more frontal face"
        )
        session.say_once(f"{text}; give another class or photo", about=f"turned {names}")
