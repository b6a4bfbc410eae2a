# SPDX-License-Identifier: Apache-2.0
"""Targets: what a figure may not be above, or below, said in one line each."""


def in_turns(sides, rounds):
    """Each side `rounds` times, and another one first in each round: what else the machine does meets all."""
    for turn in range(rounds):
        first = turn % len(sides)
        yield from sides[first:] + sides[:first]


def judge_at_most(what, figure, limit):
    print(f"{'met   ' if figure <= limit else 'MISSED'}  {what}: {figure:.3f}, at most {limit:.3f}")


def judge_at_least(what, figure, limit):
    print(f"{'met   ' if figure >= limit else 'MISSED'}  {what}: {figure:.3f}, at least {limit:.3f}")
