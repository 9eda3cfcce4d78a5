"""The demo project as it is stored, and that it is what its code makes."""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.demo.digits import load_digits, save_digits
from tests.demo.folder import table
from tests.demo.frames import encoded_records
from tests.demo.models import Network, Recipe, train
from tests.demo.plan import BaselineRecipe, Plan, plans, sweep
from wbframe.server.projects.demo import DATA

DEFAULT_SAMPLES = 500
TIMES = ["_runtime", "_timestamp"]


@cache
def project() -> dict[str, Any]:
    return json.loads((DATA / "project.json").read_text(encoding="utf-8"))


@cache
def runs() -> dict[str, dict[str, Any]]:
    stored = json.loads((DATA / "runs.json").read_text(encoding="utf-8"))
    return {run["displayName"]: run for run in stored}


@cache
def history(name: str) -> pl.DataFrame:
    return pl.read_parquet(DATA / "history" / f"{runs()[name]['name']}.parquet")


@cache
def events(name: str) -> pl.DataFrame:
    return pl.read_parquet(DATA / "events" / f"{runs()[name]['name']}.parquet")


def planned(name: str) -> Plan:
    (plan,) = (each for each in plans() if each.name == name)
    return plan


def rows_with(frame: pl.DataFrame, key: str) -> set[int]:
    return set(frame.filter(pl.col(key).is_not_null())["_step"])


class TestRuns:
    def test_there_are_24_with_ids_of_their_own(self) -> None:
        stored = json.loads((DATA / "runs.json").read_text(encoding="utf-8"))
        ids = [run["name"] for run in stored]
        assert len(stored) == len(runs()) == len(set(ids)) == 24
        assert all(re.fullmatch(r"[a-z0-9]{8}", each) for each in ids)

    def test_every_run_has_its_files_and_there_are_no_others(self) -> None:
        ids = sorted(f"{run['name']}.parquet" for run in runs().values())
        assert sorted(path.name for path in (DATA / "history").iterdir()) == ids
        assert sorted(path.name for path in (DATA / "events").iterdir()) == ids

    def test_they_are_the_planned_ones(self) -> None:
        assert [run["displayName"] for run in runs().values()] == [plan.name for plan in plans()]
        for plan in plans():
            run = runs()[plan.name]
            assert run["name"] == plan.run_id
            assert run["config"] == plan.config
            assert run["tags"] == list(plan.tags)
            assert (run["group"], run["jobType"], run["sweepName"], run["notes"]) == (
                plan.group,
                plan.job_type,
                plan.sweep,
                plan.notes,
            )

    def test_most_belong_to_the_one_sweep(self) -> None:
        assert project() == {"entity": "wbframe", "name": "demo", "sweeps": [sweep()]}
        (only,) = project()["sweeps"]
        inside = [run for run in runs().values() if run["sweepName"] == only["name"]]
        assert len(inside) == 18
        points = {
            (c["model"], c["learning_rate"], c["batch_size"]) for c in (r["config"] for r in inside)
        }
        assert len(points) == only["runCountExpected"] == 18
        for value in {part for point in points for part in point}:
            assert f"      - {value}\n" in only["config"]

    def test_times_are_spelled_as_on_the_wire_and_begin_on_the_second_of_march(self) -> None:
        created = [run["createdAt"] for run in runs().values()]
        assert created[0] == "2026-03-02T09:00:00Z"
        assert created == sorted(set(created))
        form = re.compile(r"2026-03-02T\d\d:\d\d:\d\dZ")
        for run in runs().values():
            assert form.fullmatch(run["createdAt"])
            assert form.fullmatch(run["heartbeatAt"])
            assert run["heartbeatAt"] > run["createdAt"]

    def test_configs_hold_every_kind_of_value(self) -> None:
        config = runs()["mlp-long"]["config"]
        assert config["optimizer"] == {"name": "sgd", "momentum": 0.9, "nesterov": True}
        assert config["layers"] == [64, 256, 10]
        assert config["checkpoints"] is True
        assert config["weight_decay"] == 1e-05
        assert runs()["mlp-lr0.1-bs32"]["config"]["weight_decay"] is None
        assert config["schedule"] == "cosine"
        assert "_wandb" not in config
        assert all(run["wandbConfig"]["cli_version"] == "0.31.0" for run in runs().values())

    def test_commits_are_forty_hexadecimal_digits_or_none(self) -> None:
        commits = {run["commit"] for run in runs().values()}
        assert None in commits
        assert all(re.fullmatch(r"[0-9a-f]{40}", each) for each in commits - {None})

    def test_states(self) -> None:
        other = {n: r["state"] for n, r in runs().items() if r["state"] != "finished"}
        assert other == {"mlp-too-fast": "failed", "mlp-long-again": "killed"}
        assert {r["exitcode"] for r in runs().values() if r["state"] == "finished"} == {0}
        assert [runs()[name]["exitcode"] for name in other] == [1, 255]

    def test_summaries_are_the_last_values_of_the_histories(self) -> None:
        for name, run in runs().items():
            last = history(name).select(pl.all().drop_nulls().last()).row(0, named=True)
            for key in ("_step", "train/loss", "train/accuracy", "eval/loss", "eval/accuracy"):
                assert float(run["summaryMetrics"][key]) == pytest.approx(last[key], nan_ok=True)

    def test_the_best_evaluation_of_a_summary_is_in_the_history(self) -> None:
        for name, run in runs().items():
            best = run["summaryMetrics"]["best"]
            frame = history(name)
            assert best["accuracy"] == frame["eval/accuracy"].max()
            assert best["step"] in rows_with(frame, "eval/accuracy")

    def test_numbers_that_are_not_finite_are_the_strings_of_the_wire(self) -> None:
        text = (DATA / "runs.json").read_text(encoding="utf-8")
        assert runs()["mlp-too-fast"]["summaryMetrics"]["train/loss"] == "NaN"
        assert not re.search(r"[:\[ ]-?(NaN|Infinity)\b", text)

    def test_it_is_small_and_says_nothing_of_the_machine(self) -> None:
        assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 1_500_000
        assert {run["host"] for run in runs().values()} == {"demo-host"}


class TestHistories:
    def test_lengths_lie_on_both_sides_of_the_default_sample(self) -> None:
        heights = [history(name).height for name in runs()]
        assert min(heights) == 132
        assert max(heights) == 1409
        assert sum(height > DEFAULT_SAMPLES for height in heights) == 10

    def test_columns_are_typed_and_sorted(self) -> None:
        dtypes = {pl.Float64(), pl.Boolean(), pl.String(), pl.List(pl.Float64)}
        histogram = pl.Struct(
            {"_type": pl.String, "bins": pl.List(pl.Float64), "values": pl.List(pl.Int64)}
        )
        for name in runs():
            schema = history(name).schema
            first, *keys = schema.names()
            assert schema[first] == pl.Int64
            assert keys == [*TIMES, *sorted(keys[2:])]
            assert {schema[key] for key in keys} <= dtypes | {histogram}

    def test_steps_are_rows_without_gaps_and_in_order(self) -> None:
        for name in runs():
            assert history(name)["_step"].to_list() == list(range(history(name).height))

    def test_times_run_forward_from_the_creation(self) -> None:
        for name, run in runs().items():
            frame = history(name).select(
                "_runtime",
                created=pl.lit(run["createdAt"]).str.to_datetime(time_zone="UTC").dt.epoch("s"),
                stamp="_timestamp",
            )
            assert frame["_runtime"].is_sorted()
            assert frame["_runtime"].min() >= 0
            assert frame["_runtime"].max() < 60
            # The SDK reads the two clocks in two processes.
            off = frame["stamp"] - frame["created"] - frame["_runtime"]
            assert off.abs().max() < 0.5

    def test_evaluations_of_networks_share_rows_with_training(self) -> None:
        for name in ("softmax-lr0.1-bs64", "mlp-long"):
            frame = history(name)
            evaluated = rows_with(frame, "eval/loss")
            assert evaluated < rows_with(frame, "train/loss")
            assert evaluated == rows_with(frame, "eval/accuracy")
            assert len(evaluated) < frame.height / 10

    def test_evaluations_of_baselines_share_none(self) -> None:
        for name in ("sgd-classifier", "sgd-classifier-averaged"):
            frame = history(name)
            evaluated, trained = rows_with(frame, "eval/loss"), rows_with(frame, "train/loss")
            assert evaluated
            assert not evaluated & trained
            assert evaluated | trained == set(frame["_step"])

    def test_checkpoints_are_rows_of_their_own_in_part_of_the_runs(self) -> None:
        having = [name for name in runs() if "checkpoint/name" in history(name).columns]
        assert len(having) == 8
        for name in having:
            frame = history(name)
            saved = rows_with(frame, "checkpoint/bytes")
            assert saved == rows_with(frame, "checkpoint/name")
            assert len(saved) >= 4
            assert not saved & rows_with(frame, "train/loss")

    def test_histograms_hold_every_gradient_of_the_first_layer(self) -> None:
        counts = history("mlp-lr0.1-bs32")["gradients/w1"].drop_nulls()
        assert counts.len() == 14
        assert set(counts.struct.field("_type")) == {"histogram"}
        assert set(counts.struct.field("values").list.sum()) == {64 * 512}
        assert set(counts.struct.field("bins").list.len()) == {17}

    def test_one_run_diverges_to_infinity_and_then_to_nan(self) -> None:
        loss = history("mlp-too-fast")["train/loss"]
        broken = loss.is_finite().not_().arg_max()
        assert loss[0] < 3
        assert loss[:broken].max() > 1e280
        assert loss[broken:].is_finite().any() is False
        assert loss.is_infinite().any()
        assert loss[-1:].is_nan().all()
        others = [history(n)["train/loss"].is_finite().all() for n in runs() if n != "mlp-too-fast"]
        assert all(others)

    def test_one_run_is_stopped_half_way(self) -> None:
        frame = history("mlp-long-again")
        assert frame.height == 700
        assert runs()["mlp-long-again"]["config"]["steps"] == 1400

    def test_the_models_have_learned(self) -> None:
        best = {name: run["summaryMetrics"]["best"]["accuracy"] for name, run in runs().items()}
        assert best["mlp-long"] > 0.97
        assert best["sgd-classifier"] > 0.9
        assert best["mlp-too-fast"] < 0.3

    def test_machine_metrics(self) -> None:
        for name in runs():
            frame = events(name)
            assert frame.height >= 5
            assert frame.columns[:2] == TIMES
            assert {"system.cpu", "system.memory_percent"} < set(frame.columns)
            assert all(column.startswith("system.") for column in frame.columns[2:])
            assert frame["_runtime"].is_sorted()
            assert frame["system.memory_percent"].is_between(0, 100).all()
            # The samples are of the time in which the run ran.
            assert frame["_timestamp"][0] < history(name)["_timestamp"][-1]


def remade(name: str, rows: int | None = None) -> pl.DataFrame:
    """Train a run again and flatten its rows as they were stored."""
    plan = planned(name)
    assert isinstance(plan.recipe, Recipe)
    flat = []
    for row in islice(train(plan.recipe, load_digits()), rows):
        norm = row.pop("norm", {})
        flat.append({**row, **{f"norm.{key}": value for key, value in norm.items()}})
        gradient = row.get("gradients/w1")
        if gradient is not None:
            counts, edges = np.histogram(gradient, bins=16)
            flat[-1]["gradients/w1"] = {
                "_type": "histogram",
                "bins": edges.tolist(),
                "values": counts.tolist(),
            }
    return table(flat)


def assert_same_numbers(new: pl.DataFrame, stored: pl.DataFrame) -> None:
    assert new.columns == stored.columns
    for key in new.columns:
        if new.schema[key] == pl.Float64:
            # Another machine may add up in another order.
            assert new[key].is_null().equals(stored[key].is_null())
            values = new[key].drop_nulls().to_list()
            assert values == pytest.approx(stored[key].drop_nulls().to_list(), rel=1e-6)
        elif key == "gradients/w1":
            edges = [
                frame[key].drop_nulls().struct.field("bins").explode() for frame in (new, stored)
            ]
            assert edges[0].to_list() == pytest.approx(edges[1].to_list(), rel=1e-6)
        else:
            assert new[key].to_list() == stored[key].to_list()


class TestRemaking:
    @pytest.mark.parametrize("name", ["softmax-lr0.1-bs128", "softmax-lr0.02-bs32"])
    def test_a_whole_run_gives_the_stored_values(self, name: str) -> None:
        assert_same_numbers(remade(name), history(name).drop("_step", *TIMES))

    def test_the_network_gives_the_stored_values_too(self) -> None:
        stored = history("mlp-lr0.1-bs128").head(60).drop("_step", *TIMES)
        assert_same_numbers(remade("mlp-lr0.1-bs128", 60), stored)

    def test_the_diverging_run_diverges_again(self) -> None:
        plan = planned("mlp-too-fast")
        assert isinstance(plan.recipe, Recipe)
        losses: list[float] = []
        with pytest.raises(FloatingPointError, match="no finite number in 60 steps"):
            losses.extend(row["train/loss"] for row in train(plan.recipe, load_digits()))
        stored = history("mlp-too-fast")["train/loss"]
        # What grows a hundredfold a step also grows its last digit, so only the first are the same.
        assert losses[:30] == pytest.approx(stored[:30].to_list())
        assert not any(map(math.isfinite, losses[-60:]))

    def test_gradients_are_the_slopes_of_the_loss(self) -> None:
        digits = load_digits()
        images, labels = digits.train_images[:20], digits.train_labels[:20]
        network = Network.fresh((7,), np.random.default_rng(3))
        _, _, gradients = network.gradients(images, labels)
        for parameter, gradient in zip(network.parameters, gradients, strict=True):
            at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            parameter[at] += 1e-5
            above, _ = network.judge(images, labels)
            parameter[at] -= 2e-5
            below, _ = network.judge(images, labels)
            parameter[at] += 1e-5
            assert (above - below) / 2e-5 == pytest.approx(gradient[at], rel=1e-5)

    def test_the_schedules_fall_as_they_say(self) -> None:
        steps = 10
        linear = Recipe(learning_rate=0.5, batch_size=1, steps=steps, schedule="linear")
        cosine = Recipe(learning_rate=0.5, batch_size=1, steps=steps, schedule="cosine")
        assert linear.learning_rate_at(5) == 0.25
        assert cosine.learning_rate_at(5) == pytest.approx(0.25)
        assert cosine.learning_rate_at(2) == pytest.approx(0.25 * (1 + math.cos(0.2 * math.pi)))
        assert history("softmax-lr0.5-bs64")["lr"].drop_nulls().is_sorted(descending=True)

    def test_every_baseline_is_told_from_a_network(self) -> None:
        kinds = [isinstance(plan.recipe, BaselineRecipe) for plan in plans()]
        assert sum(kinds) == 2
        assert plans() == plans()

    def test_digits_come_back_as_they_were_saved(self, tmp_path: Any) -> None:
        digits = load_digits()
        labels = np.concatenate([digits.train_labels, digits.test_labels])
        pixels = np.concatenate([digits.train_images, digits.test_images]) * 16
        assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert set(np.unique(pixels)) == set(range(17))
        save_digits(pixels, labels, tmp_path / "again.parquet")
        again = load_digits(tmp_path / "again.parquet")
        whole = np.concatenate([again.train_images, again.test_images]) * 16
        assert whole.sum() == pixels.sum()
        assert again.train_images.shape == digits.train_images.shape


BLOCK = 32_768


def chunk(kind: int, payload: bytes) -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + payload), len(payload), kind) + payload


def contain(records: list[bytes]) -> bytes:
    """Write records into blocks as the SDK does."""
    data = b":W&B\xe1\xbe\x00"
    for record in records:
        rest, first = record, True
        while first or rest:
            left = BLOCK - len(data) % BLOCK
            if left < 7:
                data += bytes(left)
                left = BLOCK
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (2 if rest else 1) if first else (3 if rest else 4)
            data += chunk(kind, piece)
            first = False
    return data


class TestFrames:
    def test_records_come_back_whole_across_blocks(self) -> None:
        for size in (0, 1, BLOCK - 14, BLOCK - 15, BLOCK - 20, BLOCK, 3 * BLOCK):
            records = [bytes([3]) * size, b"b" * 100, b"c" * 40_000, b"d"]
            assert list(encoded_records(contain(records))) == records

    def test_a_record_that_is_cut_off_is_left_out(self) -> None:
        data = contain([b"a" * 10, b"b" * 50_000])
        assert list(encoded_records(data[:-1])) == [b"a" * 10]
        assert list(encoded_records(data[:30])) == [b"a" * 10]

    def test_a_wrong_checksum_is_an_error(self) -> None:
        data = bytearray(contain([b"abc"]))
        data[-1] ^= 1
        with pytest.raises(ValueError, match="byte 7 does not have the checksum"):
            list(encoded_records(bytes(data)))

    def test_another_file_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no offline file"):
            list(encoded_records(b"PAR1" + bytes(100)))


class TestTable:
    def test_types_and_order(self) -> None:
        histogram = {"_type": "histogram", "bins": [0, 1, 1e300], "values": [2, 3]}
        frame = table(
            [
                {"z": 1, "_timestamp": 5, "_step": 0, "h": histogram, "t": "x", "b": True},
                {"_step": 1, "_timestamp": 6.5, "z": float("nan"), "l": [1, 2.5]},
            ]
        )
        assert frame.columns == ["_step", "_timestamp", "b", "h", "l", "t", "z"]
        assert frame["_step"].to_list() == [0, 1]
        assert frame["z"][0] == 1.0
        assert math.isnan(frame["z"][1])
        assert frame["h"].to_list() == [histogram, None]
        assert frame["l"].to_list() == [None, [1.0, 2.5]]
        assert frame["b"].to_list() == [True, None]

    @pytest.mark.parametrize("pair", [(1, "x"), (True, 1.5), ("x", [1]), ([1], {"_type": "a"})])
    def test_a_key_of_two_kinds_is_an_error(self, pair: tuple[Any, Any]) -> None:
        with pytest.raises(TypeError, match="'k' holds values of more than one kind"):
            table([{"k": each} for each in pair])
