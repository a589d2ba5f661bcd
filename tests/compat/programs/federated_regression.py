# SPDX-License-Identifier: Apache-2.0
"""Three hospitals train a linear regression on the sum of their encrypted gradients; a server holds the key."""

import numpy as np
import phe as paillier


def encrypt_vector(public_key, vector):
    return [public_key.encrypt(x) for x in vector]


def decrypt_vector(private_key, vector):
    return np.array([private_key.decrypt(x) for x in vector])


def sum_encrypted_vectors(x, y):
    if len(x) != len(y):
        raise ValueError("Encrypted vectors must have the same size")
    return [a + b for a, b in zip(x, y, strict=True)]


class Server:
    def __init__(self, key_length):
        self.pubkey, self.privkey = paillier.generate_paillier_keypair(n_length=key_length)

    def decrypt_aggregate(self, gradient, n_clients):
        return decrypt_vector(self.privkey, gradient) / n_clients


class Client:
    def __init__(self, name, x, y, pubkey):
        self.name, self.pubkey, self.x, self.y = name, pubkey, x, y
        self.weights = np.zeros(x.shape[1])

    def step(self, gradient, eta=0.1):
        self.weights -= eta * gradient

    def gradient(self):
        return (self.x @ self.weights - self.y) @ self.x / len(self.x)

    def encrypted_gradient(self, sum_to=None):
        gradient = encrypt_vector(self.pubkey, self.gradient())
        return gradient if sum_to is None else sum_encrypted_vectors(sum_to, gradient)


rng = np.random.default_rng(42)
truth = np.array([1.5, -2.0, 0.25, 3.0])
server = Server(512)
clients = []
for i in range(3):
    x = rng.normal(size=(20, 4))
    clients.append(Client(f"hospital {i}", x, x @ truth + rng.normal(size=20) * 0.01, server.pubkey))
for iteration in range(8):
    total = None
    for client in clients:
        total = client.encrypted_gradient(sum_to=total)
    gradient = server.decrypt_aggregate(total, len(clients))
    for client in clients:
        client.step(gradient)
    print(iteration, [x.exponent for x in total], [repr(float(w)) for w in clients[0].weights])
