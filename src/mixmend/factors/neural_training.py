"""Train the network: Adam on minibatches of entries, the best epoch kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import MixmendError, OptionalDependencyError
from mixmend.factors.network import Layer, Network, slopes
from mixmend.factors.neural_folding import (
    FoldedNetwork,
    by_columns,
    fold_rows,
    freedom_of,
)
from mixmend.factors.neural_problem import NeuralProblem, row_offsets
from mixmend.kernels.threads import fixed_order
from mixmend.observed.compressed import Compressed
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

Array = NDArray[np.float64]
Evaluation = dict[str, Any]

_START = 0.1
"""Standard deviation of embeddings before the first step, in standard units."""

_SLOWER = 0.97
"""What the rate of learning is multiplied by after every epoch."""


def import_torch() -> Any:
    """PyTorch, or one line that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise OptionalDependencyError(
            "NeuralFactorization is fitted with PyTorch, which is not installed: "
            "pip install 'mixmend[neural]'"
        ) from error
    return torch


@dataclass(frozen=True, slots=True)
class NeuralFit:
    """The outcome of a fit.

    Attributes
    ----------
    network : Network
        Of the best epoch on validation entries; of the last one where there are none.
    rows : ndarray, shape (n, r + 1)
        Vectors and effects of the training rows, folded in.
    noise : float
        Variance of a cell around its prediction, in the data's squared units.
    history : list of dict
        One per epoch: ``iteration``, ``train_rmse``, ``validation_rmse`` (where there are
        validation entries).
    best_iteration, n_iter : int
    converged : bool
        Whether patience ran out.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    network: Network
    rows: Array
    noise: float
    history: list[Evaluation]
    best_iteration: int
    n_iter: int
    converged: bool
    interrupted: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    """An epoch worth keeping."""

    network: Network
    rows: Array
    squares: float
    error: float = np.inf
    iteration: int = 0


def fit_network(
    problem: NeuralProblem,
    validation: ObservedMatrix | None,
    rng: np.random.Generator,
    *,
    verbose: bool = False,
) -> NeuralFit:
    """Train epoch by epoch; fold the rows in after each; stop when it no longer helps."""
    options = problem.options
    standard = problem.standard()
    best: _Kept | None = None
    history: list[Evaluation] = []
    iteration = worse = 0
    interrupted = False
    with (
        one_thread(),
        fixed_order(),
        track("network", total=options.max_iter, enabled=verbose or None) as progress,
    ):
        trainer = Trainer(problem, standard, rng)
        try:
            while iteration < options.max_iter and worse < options.patience:
                trainer.epoch()
                kept = _evaluated(problem, standard, trainer.network(), validation, iteration + 1)
                iteration += 1
                row: Evaluation = {"iteration": iteration}
                row["train_rmse"] = problem.scale * float(np.sqrt(kept.squares / len(standard[1])))
                if validation is not None:
                    row["validation_rmse"] = float(np.sqrt(kept.error))
                    worse = 0 if best is None or kept.error < best.error else worse + 1
                history.append(row)
                progress.update(1, **{k: v for k, v in row.items() if k.endswith("rmse")})
                if worse == 0:
                    best = kept
        except KeyboardInterrupt:
            if best is None:
                raise  # nothing is worth keeping yet
            interrupted = True
        assert best is not None  # max_iter is at least 1, and no error is NaN
        noise = best.error if validation is not None else _noise(problem, standard, best)
    return NeuralFit(
        best.network,
        best.rows,
        max(noise, 1e-300),
        history,
        best.iteration,
        iteration,
        worse >= options.patience,
        interrupted,
    )


def _evaluated(
    problem: NeuralProblem,
    standard: Compressed,
    network: Network,
    validation: ObservedMatrix | None,
    iteration: int,
) -> _Kept:
    """Rows folded into a network, and its mean squared error in the data's units."""
    if not network.is_finite():
        raise MixmendError(
            f"Training ran off to infinity in epoch {iteration}: lower learning_rate "
            f"({problem.options.learning_rate!r})."
        )
    priors = network.row_priors(problem.row_features, problem.observed.shape[0])
    folded = fold_rows(network, standard, priors, problem.penalty)
    squares = float(folded.squares.sum())
    if validation is None:
        return _Kept(network, folded.rows, squares, iteration=iteration)
    offsets = row_offsets(problem.observed, problem.options.center, problem.mean)
    rows, columns, values = validation.entries()
    means = FoldedNetwork(network, folded.rows, offsets, problem.scale, 0.0).entry_means(
        rows, columns
    )
    error = float(np.mean((values - means) ** 2))
    return _Kept(network, folded.rows, squares, error, iteration)


def _noise(problem: NeuralProblem, standard: Compressed, best: _Kept) -> float:
    """Variance of training residuals, both sides' degrees of freedom taken off."""
    network, count = best.network, len(standard.values)
    lines = np.repeat(np.arange(len(best.rows)), np.diff(standard.pointers))
    at = network, best.rows, network.columns_first(), lines, standard.indices
    taken = freedom_of(slopes(*at, by="row")[1], standard.pointers, problem.penalty)
    order, pointers = by_columns(standard, len(network.columns))
    taken += freedom_of(slopes(*at, by="column")[1][order], pointers, problem.penalty)
    # each side's degrees of freedom are counted given the other: together at most all but few
    return best.squares / max(count - taken, 0.05 * count) * problem.scale**2


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: its sums then come in one order, and minibatches are small."""
    torch = import_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Trainer:
    """The network while it learns: embeddings of rows and columns, maps of features, layers.

    The loss of a minibatch is its mean squared residual plus each entry's part of
    ``lambda (sum |q_u|^2 + sum |p_i|^2 + lambda_b …)``, so that an epoch's losses sum to the
    penalised objective. Layers and maps of features decay instead (AdamW).
    """

    def __init__(
        self, problem: NeuralProblem, standard: Compressed, rng: np.random.Generator
    ) -> None:
        torch = self.torch = import_torch()
        self.problem, self.options, self.penalty = problem, problem.options, problem.penalty
        self.generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        n, d = problem.observed.shape
        weights = problem.row_weights()
        lines = np.repeat(np.arange(n), np.diff(standard.pointers))
        counts = weights[lines] > 0
        lines, columns = lines[counts], standard.indices[counts]
        self.rows = torch.from_numpy(lines.astype(np.int64))
        self.columns = torch.from_numpy(columns.astype(np.int64))
        self.targets = self._floats(standard.values[counts])
        self.weights = self._floats(weights[lines])
        per_row, per_column = np.bincount(lines, minlength=n), np.bincount(columns, minlength=d)
        self.row_parts = self._floats(1.0 / np.maximum(per_row, 1))
        self.column_parts = self._floats(1.0 / np.maximum(per_column, 1))
        self.row_features = self._features(problem.row_features)
        self.column_features = self._features(problem.column_features)
        rank = self.options.n_factors
        self.embeddings = {
            "rows": self._embeddings(per_row, rank),
            "columns": self._embeddings(per_column, rank),
            "row_effects": torch.zeros(n),
            "column_effects": torch.zeros(d),
        }
        self.maps: dict[str, Any] = {}
        for side, features in (("row", self.row_features), ("column", self.column_features)):
            if features is not None:
                self.maps[f"{side}_map"] = torch.zeros(features.shape[1], rank)
                self.maps[f"{side}_effect_map"] = torch.zeros(features.shape[1])
        self.layers = self._layers()
        self.decaying = [*self.maps.values(), *(part for pair in self.layers for part in pair)]
        for parameter in (*self.embeddings.values(), *self.decaying):
            parameter.requires_grad_()
        groups = [{"params": list(self.embeddings.values()), "weight_decay": 0.0}]
        if self.decaying:
            groups.append({"params": self.decaying, "weight_decay": self.options.weight_decay})
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.options.learning_rate, betas=(0.9, 0.99), foreach=False
        )

    # ------------------------------------------------------------------ the start

    def _floats(self, values: NDArray[Any]) -> Any:
        return self.torch.from_numpy(np.array(values, dtype=np.float32))

    def _features(self, features: Array | None) -> Any:
        return None if features is None else self._floats(features)

    def _embeddings(self, counts: NDArray[np.int64], rank: int) -> Any:
        """Random vectors; 0 where there is no entry to learn one from."""
        drawn = _START * self.torch.randn(len(counts), rank, generator=self.generator)
        drawn[self.torch.from_numpy(counts == 0)] = 0.0
        return drawn

    def _layers(self) -> list[tuple[Any, Any]]:
        """Weights of He's size; the last layer starts at 0: training starts at the products."""
        if self.options.head == "dot":
            return []
        torch, width, layers = self.torch, 2 * self.options.n_factors, []
        for size in self.options.hidden:
            weights = torch.randn(size, width, generator=self.generator) * (2.0 / width) ** 0.5
            layers.append((weights, torch.zeros(size)))
            width = size
        return [*layers, (torch.zeros(1, width), torch.zeros(1))]

    # ------------------------------------------------------------------ learning

    def epoch(self) -> None:
        """Go once through the entries, in random order."""
        order = self.torch.randperm(len(self.targets), generator=self.generator)
        for batch in order.split(self.options.batch_size):
            self.optimizer.zero_grad()
            self.loss(batch).backward()
            self.optimizer.step()
        for group in self.optimizer.param_groups:
            group["lr"] *= _SLOWER

    def loss(self, batch: Any) -> Any:
        """Mean over entries of squared residual and penalty."""
        rows, columns = self.rows[batch], self.columns[batch]
        lookup = self.torch.nn.functional.embedding
        mine = lookup(rows, self.embeddings["rows"]), self.embeddings["row_effects"][rows]
        theirs = (
            lookup(columns, self.embeddings["columns"]),
            self.embeddings["column_effects"][columns],
        )
        fit = self._outputs(rows, columns, mine, theirs)
        squares = self.weights[batch] * (self.targets[batch] - fit) ** 2
        parts = self._size(mine) * self.row_parts[rows]
        parts = parts + self._size(theirs) * self.column_parts[columns]
        return (squares + parts).mean()

    def _size(self, side: tuple[Any, Any]) -> Any:
        vectors, effects = side
        return self.penalty.factors * (vectors**2).sum(1) + self.penalty.effects * effects**2

    def _outputs(self, rows: Any, columns: Any, mine: Any, theirs: Any) -> Any:
        """Outputs for a minibatch, with embeddings and activations dropped at random."""
        q, b = self._with_features("row", rows, *self._dropped(*mine))
        p, c = self._with_features("column", columns, *self._dropped(*theirs))
        y = b + c if self.options.effects else self.torch.zeros(len(rows))
        if self.options.head != "mlp":
            y = y + (q * p).sum(1)
        if self.layers:
            x = self.torch.cat([q, p], 1)
            for weights, bias in self.layers[:-1]:
                x = self.torch.nn.functional.relu(x @ weights.T + bias)
                x = self._drop(x, self.options.dropout)
            weights, bias = self.layers[-1]
            y = y + (x @ weights.T + bias)[:, 0]
        return y

    def _dropped(self, vectors: Any, effects: Any) -> tuple[Any, Any]:
        """All that one side's identity says of an entry is left out at random, not scaled up.

        What features say then has to do alone, as it does for a line without entries.
        """
        share = self.options.embedding_dropout
        if share == 0:
            return vectors, effects
        stays = self.torch.rand(len(effects), generator=self.generator) >= share
        return vectors * stays[:, None], effects * stays

    def _with_features(self, side: str, lines: Any, vectors: Any, effects: Any) -> tuple[Any, Any]:
        features = self.row_features if side == "row" else self.column_features
        if features is None:
            return vectors, effects
        own = features[lines]
        return (
            vectors + own @ self.maps[f"{side}_map"],
            effects + own @ self.maps[f"{side}_effect_map"],
        )

    def _drop(self, x: Any, share: float) -> Any:
        if share == 0:
            return x
        stays = self.torch.rand(x.shape, generator=self.generator) >= share
        return x * stays / (1 - share)

    # ------------------------------------------------------------------ what was learned

    def network(self) -> Network:
        """A frozen copy of the network in double precision, rows aside."""
        columns, effects = self._doubles("columns"), self._doubles("column_effects")
        rank = self.options.n_factors
        row_map, row_effect_map = np.zeros((0, rank)), np.zeros(0)
        features = self.problem.column_features
        if features is not None:
            columns = columns + features @ self._doubles("column_map")
            effects = effects + features @ self._doubles("column_effect_map")
        if self.row_features is not None:
            row_map, row_effect_map = self._doubles("row_map"), self._doubles("row_effect_map")
        if not self.options.effects:
            effects, row_effect_map = np.zeros_like(effects), np.zeros_like(row_effect_map)
        layers = tuple(
            Layer(*(part.detach().numpy().astype(np.float64) for part in pair))
            for pair in self.layers
        )
        return Network(
            columns, effects, self.options.head != "mlp", layers, row_map, row_effect_map
        )

    def _doubles(self, name: str) -> Array:
        table = self.embeddings if name in self.embeddings else self.maps
        return np.asarray(table[name].detach().numpy().astype(np.float64))
