# SPDX-License-Identifier: Apache-2.0
"""Alice scores Bob's documents with an encrypted logistic model; messages are JSON, keys sit in a keyring."""

import json

import numpy as np
from phe import (
    EncodedNumber,
    EncryptedNumber,
    PaillierPrivateKeyring,
    PaillierPublicKey,
    generate_paillier_keypair,
)
from phe.util import base64_to_int, int_to_base64

rng = np.random.default_rng(7)
keyring = PaillierPrivateKeyring()
public_key, private_key = generate_paillier_keypair(keyring, n_length=512)
assert keyring[public_key] == private_key

# Alice: the model, encrypted.
weights, intercept = rng.normal(size=30), -0.75
message = json.dumps(
    {
        "public_key": {"n": int_to_base64(public_key.n)},
        "intercept": (lambda e: [str(e.ciphertext()), e.exponent])(public_key.encrypt(intercept)),
        "weights": [(str(e.ciphertext()), e.exponent) for e in (public_key.encrypt(w) for w in weights)],
    }
)

# Bob: scores of sparse documents, on the encrypted model.
received = json.loads(message)
key = PaillierPublicKey(n=base64_to_int(received["public_key"]["n"]))
model = [EncryptedNumber(key, int(c), int(e)) for c, e in received["weights"]]
documents = rng.poisson(0.3, size=(25, 30))
scores = []
for row in documents:
    score = EncryptedNumber(key, int(received["intercept"][0]), received["intercept"][1])
    for j in np.nonzero(row)[0]:
        score += float(row[j]) * model[j]
    scores.append(score)
whole = np.dot(documents.astype(object), np.array(model)) + scores[0] - scores[0]
reply = json.dumps([(str(s.ciphertext()), s.exponent) for s in scores])

# Alice: the results.
answers = [EncryptedNumber(public_key, int(c), int(e)) for c, e in json.loads(reply)]
for number, row in zip(answers, documents, strict=True):
    value = keyring.decrypt(number)
    assert abs(value - (row @ weights + intercept)) < 1e-9
    print(repr(value), number.exponent)
print([repr(private_key.decrypt(s)) for s in whole])

# Precisions, means, encodings, errors.
coarse = public_key.encrypt(3.14159, precision=1e-3)
print(coarse.exponent, private_key.decrypt(coarse), private_key.decrypt((coarse + 1) / 7))
print(private_key.decrypt(np.mean([public_key.encrypt(x) for x in range(10)])))
encoded = EncodedNumber.encode(public_key, -2.5, max_exponent=-20)
print(encoded.exponent, encoded.decode(), private_key.decrypt(public_key.encrypt(1) + encoded))
print(private_key.decrypt_encoded(public_key.encrypt(5)).encoding)
for attempt in (
    lambda: public_key.encrypt(1) * public_key.encrypt(2),
    lambda: public_key.encrypt("1"),
    lambda: private_key.decrypt(public_key.encrypt(public_key.max_int) * 2),
    lambda: private_key.decrypt(5),
    lambda: public_key.encrypt(1) + generate_paillier_keypair(n_length=256)[0].encrypt(1),
    lambda: public_key.encrypt(1) / 0,
):
    try:
        print(attempt())
    except Exception as error:
        print(type(error).__name__)
