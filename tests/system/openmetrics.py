# SPDX-License-Identifier: Apache-2.0
"""A small, strict reader of OpenMetrics 1.0 text: what it does not know is wrong."""
import re

NAME = r"[a-z][a-z0-9_]*"
META = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (\S.*)")
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)")
SUFFIXES = {"gauge": "", "counter": "_total", "info": "_info"}


class Metrics:
    """The samples: {(name, frozenset of labels): value}, and the families: {name: type}."""

    def __init__(self):
        self.samples, self.types = {}, {}

    def rows(self, name, **labels):
        wanted = set(labels.items())
        return [(dict(have), value) for (own, have), value in self.samples.items() if own == name and wanted <= have]

    def value(self, name, mapping=None, default=None, **labels):
        """Of the one sample that has these labels, and maybe others."""
        found = self.rows(name, **(mapping or {}), **labels)
        if not found and default is not None:
            return default
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0][1]


def labels_of(text):
    labels = []
    while text:
        found = LABEL.match(text)
        assert found, f"no label: {text}"
        labels.append(found.groups())
        text = text[found.end():]
        assert not text or (text[0] == "," and len(text) > 1), f"no comma: {text}"
        text = text[1:]
    assert len({name for name, _ in labels}) == len(labels), f"a label twice: {labels}"
    return frozenset(labels)


def parse(text):
    """The Metrics; AssertionError where the text is not what the standard wants."""
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    metrics, family, described = Metrics(), None, set()
    for line in text[:-len("# EOF\n")].splitlines():
        meta = META.fullmatch(line)
        if meta:
            kind, name, rest = meta.groups()
            if kind == "TYPE":
                assert rest in SUFFIXES and name not in metrics.types, f"a family twice, or of no type: {line}"
                metrics.types[name], family = rest, name
            assert name == family and (kind, name) not in described, f"out of place: {line}"
            assert kind != "UNIT" or name.endswith("_" + rest), f"the unit is not in the name: {line}"
            described.add((kind, name))
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"no line of OpenMetrics: {line}"
        name, labels, value = sample.groups()
        assert family and name == family + SUFFIXES[metrics.types[family]], f"not of the family before it: {line}"
        key = (name, labels_of(labels or ""))
        assert key not in metrics.samples, f"twice: {line}"
        assert metrics.types[family] == "gauge" or float(value) >= 0, f"below zero: {line}"
        metrics.samples[key] = float(value)
    for name in metrics.types:
        assert ("HELP", name) in described, f"no HELP: {name}"
    return metrics
