"""Write book/atlas.json: the numbers of the atlas that other pages quote, each with its interval.

python -m tools.atlas
"""

import json
from pathlib import Path

from regtools.atlas import STUDIES, Rows, median, share
from regtools.atlas.bursts import STEPS
from regtools.atlas.pairs import COUNTS
from tools.files import replace_text

BOOK = Path(__file__).resolve().parents[1] / "book"
OUTPUT = BOOK / "atlas.json"


def percent(part):
    """A share with its interval and number of problems, in per cent; the index names pictures."""
    return share(part, part.index).percent()


def middle(values, digits=0):
    """A median with its interval."""
    return f"{median(values, values.index):z.{digits}f}"


def of_rules(rules):
    """The derivative of the projection, and which rule."""
    small = rules[rules["size"] == 20]
    first = small[small["lam"] == 0.01]
    gap = first["error_none"] - first["error_kaufman"]
    groups = ["image", "kind", "size", "noise"]
    small = small.reset_index(drop=True)
    best = small.groupby(groups)[["error_none", "error_kaufman"]].min().reset_index()
    best = best.set_index("image")
    behind = best["error_none"] - best["error_kaufman"] > 1
    never = STEPS + 1  # for a run that has not arrived
    weak = rules[(rules["lam"] <= 0.1) & (rules["factor"] == 2)].fillna(
        {"steps_kaufman": never, "steps_implicit": never}
    )
    return {
        "none_behind_clean": percent(gap[first["noise"] == 0] > 1),
        "none_behind_noisy": percent(behind[best["noise"] > 0]),
        "kaufman_faster": percent(weak["steps_kaufman"] < weak["steps_implicit"]),
        "kaufman_slower": percent(weak["steps_kaufman"] > weak["steps_implicit"]),
        "kaufman_not_there": percent(rules["steps_kaufman"].isna()),
        "implicit_not_there": percent(rules["steps_implicit"].isna()),
    }


def of_cg(counts, last):
    """Counts, starts and tolerances of CG, and what of it is differentiated."""
    clean = counts[counts["noise"] == 0]
    found = {
        f"{start}_{k}_worse": percent(clean[f"error_{start}_{k}"] > clean["error_start"])
        for start in ("black", "frame_0")
        for k in (1, 5, 10, 25)
    }
    for kind, part in clean.groupby("kind"):
        worse = part["error_frame_0_1"] > part["error_start"]
        found[f"frame_0_1_worse_{kind}"] = percent(worse)
        found[f"fixed_arrives_{kind}"] = percent(part["excess_fixed_0.0001"] < 1e-4)
    found["tied_arrives"] = percent(clean["excess_tied_0.001"] < 1e-4)
    found["last_50_worse"] = percent(last["double_50"] > 1)
    for name, bits in (("double", 53), ("bits_106", 106)):
        part = last[last["lam"] == 0.01]
        found[f"last_70_worse_{bits}"] = percent(part[f"{name}_70"] > 1)
    found["last_70_worse_large_lam"] = percent(last[last["lam"] == 0.1]["double_70"] > 1)
    found["own_worse"] = percent(last["own_25"] > 1)
    return found


def of_lam(smoothing):
    """How λ is chosen."""
    noisy = smoothing[smoothing["noise"] > 0]
    return {
        f"lam_{key}": percent(noisy[f"over_{key}"] <= 1.1) for key in ("gcv", "corner", "noise")
    }


def of_paths(scales, predictions):
    """Where a path begins, how many starts, what predictions do."""
    wide = scales[scales["degrees"] == 180]
    found = {
        "register_found": percent(scales["off_register"] < 1),
        "path_found_180": percent(wide["off_first_1000"] < 1),
    }
    for kind, part in scales[scales["degrees"] == 45].groupby("kind"):
        for first in (10, 100, 1000):
            found[f"path_{first}_{kind}_45"] = percent(part[f"off_first_{first}"] < 1)
    known = predictions[predictions["kind"] != "poses"]
    more = fewer = 0
    for count in COUNTS:
        exact, none = (known[f"off_{name}_{count}"] < 1 for name in ("exact", "none"))
        more, fewer = more + int((exact & ~none).sum()), fewer + int((~exact & none).sum())
    for name in ("exact", "2JTJ"):
        share_saved = 1 - predictions[f"steps_{name}_41"] / predictions["steps_none_41"]
        found[f"saved_{name}"] = f"{middle(100 * share_saved)} % of {len(predictions)}"
    return found | {"rescued": f"{more} more and {fewer} fewer of {len(known) * len(COUNTS)}"}


def of_matrices(hessians, ellipsoids):
    """Which matrix predicts, corrects, and says how far to trust a map."""
    found = {
        f"all_help_{name}": percent(hessians[f"better_{name}"] == hessians["steps"])
        for name in ("exact", "2JTJ", "JTJ")
    }
    large = hessians[hessians["residual"] >= 0.5]
    for name in ("newton", "lm"):
        found[f"{name}_steps"] = f"{middle(large[f'{name}_steps'])} on {len(large)}"
    for kind, part in ellipsoids[ellipsoids["noise"] == 10].groupby("kind"):
        held = 100 * part["held_exact_sandwich"] / part["draws"]
        found[f"held_{kind}"] = f"{middle(held)} % on {len(part)}"
    return found


def answers():
    """All numbers, by the name that pages use."""
    rows = Rows(BOOK / "atlas")
    tables = {study: rows.read(study).set_index("image", drop=False) for study in STUDIES}
    return {
        "problems": str(sum(map(len, tables.values()))),
        **of_rules(tables["rules"]),
        **of_cg(tables["counts"], tables["last_part"]),
        **of_lam(tables["smoothing"]),
        **of_paths(tables["scales"], tables["predictions"]),
        **of_matrices(tables["hessians"], tables["ellipsoids"]),
    }


def main():
    """Run the command line."""
    replace_text(OUTPUT, json.dumps(answers(), indent=1, ensure_ascii=False) + "\n")
    print(f"{OUTPUT} is written")


if __name__ == "__main__":
    main()
