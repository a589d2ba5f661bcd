# SPDX-License-Identifier: Apache-2.0
"""Encrypted logistic regression as programs for TenSEAL write it: a model scores encrypted rows, then another is
trained on encrypted rows. Prints one line of JSON. NumPy and TenSEAL's calls only."""

import json

import numpy as np
import tenseal as ts

FEATURES, TRAIN, TEST, EPOCHS = 9, 24, 40, 2


def data(rng):
    """Standardised features, labels of a noisy linear rule: rows to learn from, rows to score."""
    x = rng.normal(size=(TRAIN + TEST, FEATURES))
    rule = rng.normal(size=FEATURES)
    y = (x @ rule + 0.5 * rng.normal(size=len(x)) > 0).astype(float)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def train_plain(x, y, epochs=20):
    weight, bias = np.zeros(x.shape[1]), 0.0
    for _ in range(epochs):
        error = sigmoid(x @ weight + bias) - y
        weight, bias = weight - x.T @ error / len(y), bias - error.mean()
    return weight, bias


class Scorer:
    """A linear model, in the clear or encrypted."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight.tolist(), [bias]

    def encrypt(self, context):
        self.weight = ts.ckks_vector(context, self.weight)
        self.bias = ts.ckks_vector(context, self.bias)

    def __call__(self, row):
        return row.dot(self.weight) + self.bias


class Learner:
    """Logistic regression whose parameters, rows and labels are all encrypted."""

    def __init__(self, n):
        self.weight, self.bias = [0.1] * n, [0.0]
        self.reset()

    def reset(self):
        self.delta_weight, self.delta_bias, self.count = 0, 0, 0

    def encrypt(self, context):
        self.weight = ts.ckks_vector(context, self.weight)
        self.bias = ts.ckks_vector(context, self.bias)

    def decrypt(self):
        self.weight, self.bias = self.weight.decrypt(), self.bias.decrypt()

    def step(self, row, label):
        score = row.dot(self.weight) + self.bias
        error = score.polyval([0.5, 0.197, 0, -0.004]) - label
        self.delta_weight += row * error
        self.delta_bias += error
        self.count += 1

    def update(self):
        self.weight -= self.delta_weight * (1 / self.count) + self.weight * 0.05
        self.bias -= self.delta_bias * (1 / self.count)
        self.reset()


def learn_plain(x, y):
    """What `Learner` computes, in the clear."""
    weight, bias = np.full(FEATURES, 0.1), 0.0
    for _ in range(EPOCHS):
        score = x @ weight + bias
        error = 0.5 + 0.197 * score - 0.004 * score**3 - y
        weight = weight - (x.T @ error / len(y) + 0.05 * weight)
        bias = bias - error.mean()
    return weight, bias


def accuracy(scores, y):
    return float(((np.asarray(scores) > 0) == (y > 0.5)).mean())


def main():
    x, y, x_test, y_test = data(np.random.default_rng(257))
    weight, bias = train_plain(x, y)

    context = ts.context(ts.SCHEME_TYPE.CKKS, 4096, -1, [40, 20, 40])
    context.global_scale = 2**20
    context.generate_galois_keys()
    rows = [ts.ckks_vector(context, row.tolist()) for row in x_test]
    plain_model, encrypted_model = Scorer(weight, bias), Scorer(weight, bias)
    encrypted_model.encrypt(context)
    scores = [plain_model(row).decrypt()[0] for row in rows]
    blind = [encrypted_model(row).decrypt()[0] for row in rows[:8]]

    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, -1, [40, 21, 21, 21, 21, 21, 21, 40])
    context.global_scale = 2**21
    context.generate_galois_keys()
    rows = [ts.ckks_vector(context, row.tolist()) for row in x]
    labels = [ts.ckks_vector(context, [label]) for label in y]
    learner = Learner(FEATURES)
    for _ in range(EPOCHS):
        learner.encrypt(context)
        for row, label in zip(rows, labels):  # noqa: B905
            learner.step(row, label)
        learner.update()
        learner.decrypt()
    learnt, learnt_bias = learn_plain(x, y)
    print(
        json.dumps(
            {
                "plain accuracy": accuracy(x_test @ weight + bias, y_test),
                "encrypted accuracy": accuracy(scores, y_test),
                "plain scores": (x_test @ weight + bias).tolist(),
                "encrypted scores": scores,
                "score error": float(np.abs(np.array(scores) - (x_test @ weight + bias)).max()),
                "blind error": float(np.abs(np.array(blind) - (x_test @ weight + bias)[:8]).max()),
                "trained in the clear": accuracy(x_test @ learnt + learnt_bias, y_test),
                "trained encrypted": accuracy(x_test @ learner.weight + learner.bias[0], y_test),
                "weight error": float(np.abs(np.array(learner.weight) - learnt).max()),
            }
        )
    )


main()
