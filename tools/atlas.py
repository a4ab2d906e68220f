"""Write book/atlas.json: the numbers of the atlas that other pages quote, each with its interval.

python -m tools.atlas
"""

import json
from pathlib import Path

from regtools.atlas import STUDIES, Rows, median, share
from regtools.atlas.bursts import STEPS
from regtools.atlas.calls import CHANGES, DISTANCES
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


def short(part):
    """The same share for the cell of a table."""
    return percent(part).split(" of ")[0].replace(" %", "").replace(" ", "\u00a0")


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
    found["all_beats_90"] = percent(last["double_100"] < last["double_90"])
    for start in ("black", "frame_0"):
        for k in (1, 5, 10, 50):
            over = clean[f"error_{start}_{k}"] / clean["error_long"]
            found[f"{start}_{k}_over"] = middle(over, 1)
    found["counts_of"] = str(len(clean))
    return found


def of_solves(solves, digits):
    """What a cap saves, what λ costs, the gradient of the data rows, and digits of differences."""
    both = (solves["excess_capped"] < 1e-4) & (solves["excess_whole"] < 1e-4)
    found = {
        "capped_arrives": percent(both),
        "gradient_data": f"{middle(100 * solves['gradient_data'])} % on {len(solves)}",
        "gradient_stacked": f"{solves['gradient_stacked'].max():.0e}",
    }
    for (kind, lam), part in solves.groupby(["kind", "lam"]):
        saved = 100 * part["iterations_capped"] / part["iterations_whole"]
        found[f"capped_{lam:g}_{kind}"] = f"{middle(saved)} %"
        found[f"iterations_{lam:g}_{kind}"] = middle(part["iterations_image"])
    found["solves_of"] = " and ".join(f"{len(p) // 3} {k}s" for k, p in solves.groupby("kind"))
    for name in ("one_sided", "central", "reverse"):
        values = digits[f"digits_{name}"]
        found[f"digits_{name}"] = middle(values, 1)
    found["digits_of"] = str(len(digits))
    return found


def of_lam(smoothing):
    """How λ is chosen."""
    noisy = smoothing[smoothing["noise"] > 0]
    found = {
        f"lam_{key}": percent(noisy[f"over_{key}"] <= 1.1) for key in ("gcv", "corner", "noise")
    }
    for noise, part in smoothing.groupby("noise"):
        found[f"lam_best_{noise:g}"] = f"{middle(part['lam_best'], 3)} on {len(part)}"
    return found


def of_paths(scales, predictions):
    """Where a path begins, how many starts, what predictions do."""
    wide = scales[scales["degrees"] == 180]
    found = {
        "single_45": percent(scales[scales["degrees"] == 45]["off_single"] < 1),
        "single_180": percent(wide["off_single"] < 1),
        "register_found": percent(scales["off_register"] < 1),
        "path_found_180": percent(wide["off_first_1000"] < 1),
    }
    for kind, part in scales[scales["degrees"] == 45].groupby("kind"):
        for first in (10, 100, 1000):
            found[f"path_{first}_{kind}_45"] = percent(part[f"off_first_{first}"] < 1)
    noisy = scales[scales["noise"] > 0]
    for per in (1, 2, 4):
        found[f"per_{per}"] = percent(noisy[f"off_per_{per}"] < 1)
    for name, part in (("clean", scales[scales["noise"] == 0]), ("noisy", noisy)):
        there = part[part["off_first_1000"] < 1]
        for last in (10, 0.1, 0.01, 0.001):
            found[f"last_{last:g}_{name}"] = middle(there[f"off_last_{last:g}"], 4)
        found[f"last_{name}_of"] = str(len(there))
    known = predictions[predictions["kind"] != "poses"]
    more = fewer = 0
    for count in COUNTS:
        exact, none = (known[f"off_{name}_{count}"] < 1 for name in ("exact", "none"))
        more, fewer = more + int((exact & ~none).sum()), fewer + int((~exact & none).sum())
    for name in ("exact", "2JTJ"):
        share_saved = 1 - predictions[f"steps_{name}_41"] / predictions["steps_none_41"]
        found[f"saved_{name}"] = f"{middle(100 * share_saved)} %"
    found["saved_of"] = str(len(predictions))
    return found | {"rescued": f"{more} more and {fewer} fewer of {len(known) * len(COUNTS)}"}


def of_starts(starts):
    """What finds a map: the surround, one start or several, the distance."""
    scenes = starts[(starts["kind"] == "scene") & (starts["degrees"] <= 45)]
    objects = starts[(starts["kind"] == "object") & (starts["degrees"] <= 45)]
    found = {
        f"{surround}_{name}": percent(part[f"off_{surround}"] < 1)
        for name, part in (("scenes", scenes), ("objects", objects))
        for surround in ("zero", "overlap")
    }
    wide = starts[starts["degrees"] >= 90]
    for name in ("identity_ssd", "identity_ncc", "moments_ncc", "features_ncc", "angles_ncc"):
        found[f"from_{name}"] = percent(wide[f"off_{name}"] < 1)
    return found


def of_brightness(brightness):
    """How often a distance finds the map where grey values differ; cells of a table."""
    found = {"brightness_of": str(len(brightness))}
    for distance in DISTANCES:
        wrong, off = [], brightness[[f"off_{change}_{distance}" for change in CHANGES]]
        for change in CHANGES:
            far = off[f"off_{change}_{distance}"] >= 1
            found[f"{change}_{distance}"] = short(~far)
            wrong.append(far & brightness[f"success_{change}_{distance}"])
        called = int(sum(one.sum() for one in wrong))
        found[f"wrong_{distance}"] = f"{called} of {int((off >= 1).to_numpy().sum())}"
    for distance in ("ncc", "mi", "ngf"):
        found[f"lit_{distance}_all"] = percent(brightness[f"off_lit_{distance}"] < 1)
        found[f"folded_{distance}_all"] = percent(brightness[f"off_folded_{distance}"] < 1)
    return found


def of_images(images):
    """Frames to one image: the whole call beside simpler ways."""
    found = {}
    for name in ("bicubic", "shift_and_add", "two_stages"):
        ratio = images["error_super_resolve"] / images[f"error_{name}"]
        found[f"super_over_{name}"] = f"{middle(ratio, 2)} on {len(images)}"
        found[f"super_worse_{name}"] = percent(ratio > 1.05)
        found[f"super_better_{name}"] = percent(ratio < 0.95)
    ratio = images["error_super_resolve"] / images["error_two_stages"]
    for name, some in (("clean", images["noise"] == 0), ("noisy", images["noise"] > 0)):
        found[f"super_better_{name}"] = percent(ratio[some] < 0.95)
    ratio = images["error_one_scale"] / images["error_two_stages"]
    return found | {
        "one_scale_worse": percent(ratio > 1.05),
        "one_scale_better": percent(ratio < 0.95),
    }


def of_matrices(hessians, ellipsoids):
    """Which matrix predicts, corrects, and says how far to trust a map."""
    found = {
        f"all_help_{name}": percent(hessians[f"better_{name}"] == hessians["steps"])
        for name in ("exact", "2JTJ", "JTJ")
    }
    found["other_sign_helps"] = percent(hessians["better_printed_sign"] > 0)
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
    found = {
        "problems": str(sum(map(len, tables.values()))),
        **of_rules(tables["rules"]),
        **of_cg(tables["counts"], tables["last_part"]),
        **of_lam(tables["smoothing"]),
        **of_paths(tables["scales"], tables["predictions"]),
        **of_starts(tables["starts"]),
        **of_brightness(tables["brightness"]),
        **of_images(tables["images"]),
        **of_solves(tables["solves"], tables["digits"]),
        **of_matrices(tables["hessians"], tables["ellipsoids"]),
    }
    return {name.replace(".", "_"): value for name, value in found.items()}  # roles split at dots


def main():
    """Run the command line."""
    replace_text(OUTPUT, json.dumps(answers(), indent=1, ensure_ascii=False) + "\n")
    print(f"{OUTPUT} is written")


if __name__ == "__main__":
    main()
