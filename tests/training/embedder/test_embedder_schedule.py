"""The learning rate over a training, against values worked out by hand."""

from __future__ import annotations

import pytest

from animalclef.config.embedder_training import ScheduleConfig
from animalclef.training.embedder.embedder_task import schedule_factor


def test_the_warm_up_reaches_its_peak_and_the_cosine_its_end() -> None:
    config = ScheduleConfig(warmup_epochs=2, lowest=0.1)
    rates = [schedule_factor(step, config, 4, 0, 10) for step in range(40)]
    assert rates[:8] == [1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1]
    assert rates[8] == 1
    assert rates[24] == pytest.approx(0.1 + 0.9 / 2)  # half of the 32 steps of decay
    assert rates[8:] == sorted(rates[8:], reverse=True)
    assert 0.1 < rates[-1] < 0.11


def test_frozen_epochs_warm_up_by_themselves_and_stay_at_the_peak() -> None:
    config = ScheduleConfig(warmup_epochs=1, first=0.5)
    rates = [schedule_factor(step, config, 2, 3, 8) for step in range(16)]
    assert rates[:6] == [0.75, 1, 1, 1, 1, 1]
    assert rates[6:8] == [0.75, 1]
    assert rates[8:] == sorted(rates[8:], reverse=True)


def test_a_warm_up_longer_than_the_training_still_reaches_the_peak() -> None:
    config = ScheduleConfig(warmup_epochs=50)
    assert max(schedule_factor(step, config, 3, 0, 4) for step in range(12)) == 1
    assert max(schedule_factor(step, config, 3, 2, 4) for step in range(6)) == 1


def test_miewid_s_rate_ramps_sustains_and_decays_by_the_epoch() -> None:
    config = ScheduleConfig(kind="ramp-decay", warmup_epochs=2, sustain_epochs=2, decay=0.8, first=0.5, lowest=0.0)
    by_epoch = [schedule_factor(2 * epoch, config, 2, 0, 8) for epoch in range(8)]
    assert by_epoch == pytest.approx([0.5, 0.75, 1, 1, 1, 0.8, 0.64, 0.512])
    assert schedule_factor(5, config, 2, 0, 8) == schedule_factor(4, config, 2, 0, 8) == 1  # one rate within an epoch
    assert schedule_factor(10, config, 2, 3, 8) == 1  # epoch 5, the second after three frozen ones, is the peak


def test_a_constant_rate_and_no_warm_up() -> None:
    assert [schedule_factor(step, ScheduleConfig(lowest=1, warmup_epochs=0), 3, 0, 2) for step in range(6)] == [1] * 6
    assert schedule_factor(0, ScheduleConfig(warmup_epochs=0), 5, 0, 2) == 1
