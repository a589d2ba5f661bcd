# SPDX-License-Identifier: Apache-2.0
"""Federated averaging as programs for TenSEAL write it: clients encrypt a flat vector of weights, a server that has no
secret key adds them, a client decrypts. Prints one line of JSON."""

import json

import numpy as np
import tenseal as ts

CLIENTS, WEIGHTS = 5, 9000


def main():
    context = ts.context(
        ts.SCHEME_TYPE.CKKS,
        poly_modulus_degree=8192,
        coeff_mod_bit_sizes=[60, 40, 40],
        encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
    )
    context.global_scale = 2**40
    private = context.serialize(save_secret_key=True)
    public = context.serialize(save_secret_key=False, save_galois_keys=False)

    rng = np.random.default_rng(1)
    weights = [rng.normal(size=WEIGHTS) for _ in range(CLIENTS)]
    sent = [ts.ckks_vector(ts.context_from(private), row).serialize() for row in weights]

    server = ts.context_from(public)
    total = None
    for data in sent:
        update = ts.lazy_ckks_vector_from(data)
        update.link_context(server)
        total = update if total is None else total + update
    total *= 1 / CLIENTS
    answer = total.serialize()

    client = ts.context_from(private)
    average = ts.ckks_vector_from(client, answer).decrypt(client.secret_key())
    print(
        json.dumps(
            {
                "error": float(np.abs(np.array(average) - np.mean(weights, axis=0)).max()),
                "size": total.size(),
                "server is public": server.is_public(),
                "bytes a weight": len(sent[0]) / WEIGHTS,
            }
        )
    )


main()
