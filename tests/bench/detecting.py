"""The local detectors on all texts of a study: `python -m tests.bench.detecting STUDY`.

In a process of its own. Prints JSON: {"s": seconds, "texts": how many they saw}.
"""

import json
import sys
import time

import django


def detect(slug: str) -> dict[str, float]:
    """As before the first export, when no text has been looked at."""
    from collection import detecting, written
    from collection.models import Detection
    from surveys.models import Study

    study = Study.objects.get(slug=slug)
    Detection.objects.all().delete()
    began = time.monotonic()
    detecting.complete(study)
    return {"s": time.monotonic() - began, "texts": sum(written.count(study).values())}


if __name__ == "__main__":
    sys.path.append("platform")
    django.setup()
    sys.stdout.write(json.dumps(detect(sys.argv[1])))
