"""Trains a classifier of handwritten digits: tries settings in parallel, takes the best, keeps the model if it is good enough."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import joblib
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from headway import INPUTS, SOURCE, FileTarget, ProcessRunner, flow, get_run_logger, task

SEED = 20261122


class Settings(TypedDict):
    """What is tried out."""

    c: float
    gamma: float


class Score(TypedDict):
    settings: Settings
    accuracy: float


class Report(TypedDict):
    tried: int
    best: Score
    held_out: float
    model: str


class NotGoodEnough(Exception):
    """The best model is worse than what was asked for."""


class Data(NamedTuple):
    """Images of digits, 8 by 8 pixels a row, and what they show."""

    train: Any
    train_labels: Any
    test: Any
    test_labels: Any


@cache
def data() -> Data:
    """Ships with scikit-learn. Each process reads it once, which is quicker than handing arrays from task to task."""
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    return Data(train, train_labels, test, test_labels)


def classifier(settings: Settings) -> Pipeline:
    return make_pipeline(StandardScaler(), SVC(C=settings["c"], gamma=settings["gamma"]))


# Cached by what goes in and by this code: tomorrow's run, with one more value in its grid, computes that one alone.
@task(task_run_name="C={settings[c]:g} gamma={settings[gamma]:g}", cache=INPUTS + SOURCE)
def cross_validate(settings: Settings) -> Score:
    """Mean accuracy over five folds of the training data; the held-out part stays unseen."""
    known = data()
    scores = cross_val_score(classifier(settings), known.train, known.train_labels, cv=5)
    return Score(settings=settings, accuracy=round(float(scores.mean()), 4))


@task
def evaluate(settings: Settings) -> float:
    """Accuracy on what no model was chosen by."""
    known = data()
    model = classifier(settings).fit(known.train, known.train_labels)
    return round(float(accuracy_score(known.test_labels, model.predict(known.test))), 4)


# A target: where this file is, nothing is trained again. It appears whole or not at all.
@task(target=lambda given: model_file(given["folder"], given["settings"]))
def keep(folder: Path, settings: Settings) -> FileTarget:
    """Trains on everything there is, and writes the model."""
    known = data()
    model = classifier(settings)
    model.fit([*known.train, *known.test], [*known.train_labels, *known.test_labels])
    target = model_file(folder, settings)
    with target.open("wb") as file:
        joblib.dump(model, file)
    return target


def model_file(folder: Path, settings: Settings) -> FileTarget:
    return FileTarget(folder / f"digits-c{settings['c']:g}-gamma{settings['gamma']:g}.joblib")


# Training computes, so it goes to processes: a core each.
@flow(task_runner=ProcessRunner())
def train(
    folder: Path,
    cs: tuple[float, ...] = (1.0, 10.0),
    gammas: tuple[float, ...] = (0.001, 0.01),
    at_least: float = 0.95,
) -> Report:
    """Fails with NotGoodEnough, and keeps nothing, when the best model's accuracy (0 to 1) is less than `at_least`."""
    grid = [Settings(c=c, gamma=gamma) for c, gamma in itertools.product(cs, gammas)]
    if not grid:
        raise ValueError("there is nothing to try: give values in cs and in gammas")
    scores = cross_validate.map(grid).result()
    best = max(scores, key=lambda score: score["accuracy"])
    held_out = evaluate.submit(best["settings"]).result()
    get_run_logger().info("best of %d: %s, %.2f %% held out", len(grid), best, held_out * 100)
    if held_out < at_least:
        raise NotGoodEnough(
            f"the best of {len(grid)} models is right in {held_out:.2%} of the cases, and {at_least:.2%} were asked for:"
            " widen the grid (-p cs=... -p gammas=...), or ask for less (-p at_least=...)"
        )
    target = keep.submit(folder, best["settings"]).result()
    return Report(tried=len(grid), best=best, held_out=held_out, model=target.path)
