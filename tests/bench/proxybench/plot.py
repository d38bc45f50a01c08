# SPDX-License-Identifier: GPL-2.0-or-later
"""The ratios as a picture."""
import itertools
import statistics

from . import report

# (title, the subject that is 1, where higher bars end with their number, and
# [(measure, key, label)])
PANELS = (
    ("rates, kernel DNAT = 1 (more is better)", "dnat", 1.25, (
        ("stream-1", "rate", "throughput\n1 stream"),
        ("stream-8", "rate", "throughput\n8 streams"),
        ("connect", "rate", "new\nconnections"),
        ("request-64", "rate", "requests\n64 kept"))),
    ("cost of the proxy, HAProxy = 1 (less is better)", "haproxy", 2.5, (
        ("stream-1", "proxy_cpu", "CPU per GB\n1 stream"),
        ("stream-8", "proxy_cpu", "CPU per GB\n8 streams"),
        ("connect", "proxy_cpu", "CPU per\nconnection"),
        ("request-64", "proxy_cpu", "CPU per\nrequest"),
        ("idle", "pss", "memory per\nidle conn."))),
)
PEERS = ("#9aa5b1", "#2f6690", "#5b8db8", "#a9c7e0", "#7fb77e", "#d9a441")
BUILDS = ("#c0392b", "#e08283", "#7d3c98", "#b79bc9")


def _bars(axes, found, subjects, base, most, groups, titled):
    width = 0.8 / len(subjects)
    for i, subject in enumerate(subjects):
        places, heights = [], []
        for at, (measure, key, _) in enumerate(groups):
            numbers = report.ratios(found, measure, key, subject, base)
            if numbers:
                places.append(at - 0.4 + width * (i + 0.5))
                heights.append(statistics.median(numbers))
        axes.bar(places, [min(h, most) for h in heights], width * 0.92,
                 color=titled[subject][1], label=titled[subject][0])
        for x, h in zip(places, heights):
            axes.text(x, min(max(h, 0), most) + 0.02, f"{h:.2f}",
                      ha="center", va="bottom", fontsize=6.5, rotation=90)


def draw(found, path):
    """Bars of the medians of the ratios of each round."""
    try:
        import matplotlib  # pylint: disable=C0415
    except ImportError:
        raise SystemExit("proxies: --plot needs python3-matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=C0415

    colours = {True: itertools.cycle(BUILDS), False: itertools.cycle(PEERS)}
    titled = {s: (v["title"], next(colours[v["build"]]))
              for s, v in found["subjects"].items()}
    figure, panels = pyplot.subplots(2, 1, figsize=(8.4, 6.4),
                                     layout="constrained")
    for axes, (title, base, most, groups) in zip(panels, PANELS):
        groups = [g for g in groups if report.values(found, g[0], base, g[1])]
        subjects = [s for s in titled
                    if any(report.ratios(found, m, k, s, base)
                           for m, k, _ in groups)]
        if subjects:
            _bars(axes, found, subjects, base, most, groups, titled)
        if axes is panels[0]:
            axes.legend(fontsize=7, ncols=len(subjects), frameon=False,
                        loc="lower center", bbox_to_anchor=(0.5, -0.36))
        axes.axhline(1, color="#444444", linewidth=0.8, zorder=0)
        axes.set_xticks(range(len(groups)), [g[2] for g in groups],
                        fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.set_ylim(0, most * 1.12)
        axes.tick_params(axis="y", labelsize=7)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
