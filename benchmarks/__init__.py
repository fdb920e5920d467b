"""What the instrumentation costs: the bare client, a hand-written floor and `otel_openai`, side by side.

Run with `python -m benchmarks` from the root of the checkout; README.md tells how to read the tables.
Measures the checkout that it lies in, whatever copy is installed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"

if str(SOURCE) not in sys.path:
    sys.path.insert(0, str(SOURCE))
