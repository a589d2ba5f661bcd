# SPDX-License-Identifier: Apache-2.0
"""The style sheet of the report: one column on a phone, light or dark as the reader has it, and on paper."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2730;--muted:#55626d;--line:#d8dde2;--paper:#fefefe;--page:#f2f4f6;
--accent:#1c5ca6;--good:#17683f;--watch:#8a5200;--bad:#a3261b}
@media (prefers-color-scheme:dark){:root{--ink:#e7ebef;--muted:#aab6c0;--line:#3b4650;--paper:#1b2228;--page:#12171b;
--accent:#7db4f2;--good:#72d29f;--watch:#f2b865;--bad:#ff9a8f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,
sans-serif;overflow-wrap:anywhere}
a{color:var(--accent)}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem}
header,main,footer{max-width:68rem;margin:0 auto;padding:0 1rem}
header{padding-top:2rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.25rem;margin:0 0 .75rem;line-height:1.3}
h3{font-size:1rem;margin:1.25rem 0 .5rem}
p{margin:.5rem 0;max-width:46rem}
.note,figcaption,footer,.facts{color:var(--muted);font-size:.9rem}
.facts{margin:.25rem 0 0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1.5rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;margin:1rem 0;list-style:none;font-size:.95rem}
nav a{display:inline-block;padding:.2rem 0}
section{background:var(--paper);border:1px solid var(--line);border-radius:.6rem;padding:1.25rem;margin:1rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.75rem;margin:0}
.cards>div{border:1px solid var(--line);border-radius:.5rem;padding:.7rem .85rem}
.cards dt{color:var(--muted);font-size:.9rem}
.cards dd{margin:0}
.cards .value{font-size:1.6rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.cards .about{font-size:.85rem;color:var(--muted)}
.stable{color:var(--good);font-weight:600}.watch{color:var(--watch);font-weight:600}
.shifted{color:var(--bad);font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));gap:1.25rem}
figure{margin:0}
figure h3{margin:0 0 .3rem}
figure img{display:block;width:100%;max-width:34rem;height:auto}
figcaption{margin-top:.25rem}
.scroll{overflow-x:auto;margin:.75rem 0}
.scroll:focus-visible,a:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;font-size:.92rem;min-width:min(100%,20rem)}
caption{text-align:left;color:var(--muted);font-size:.9rem;padding-bottom:.35rem}
th,td{padding:.32rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;min-width:4rem}
thead th{border-bottom:2px solid var(--muted);white-space:nowrap}
tbody th{font-weight:500}
th[scope=row]:not(.n){min-width:6.5rem}td:not(.n){min-width:5.5rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
footer{padding-bottom:2rem}
@media (max-width:40rem){section{padding:1rem .85rem}h1{font-size:1.4rem}th,td{padding:.3rem .5rem}
.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:.5rem}.cards .value{font-size:1.3rem}}
@media print{:root{color-scheme:light;--ink:#000;--muted:#444;--line:#bbb;--paper:#fff;--page:#fff;--accent:#000;
--good:#17683f;--watch:#8a5200;--bad:#a3261b}
body{font-size:10.5pt}nav,.skip{display:none}header,main,footer{max-width:none;padding:0}
section{border:0;padding:0;margin:0 0 1.2rem}.scroll{overflow:visible}table{font-size:8.5pt;width:100%}
th,td{padding:.18rem .35rem;min-width:0!important}thead{display:table-header-group}h2,h3,caption{break-after:avoid}
figure,tr,.cards>div{break-inside:avoid}.figures{grid-template-columns:1fr 1fr}
.cards{grid-template-columns:repeat(4,1fr)}a{text-decoration:none}}
"""
