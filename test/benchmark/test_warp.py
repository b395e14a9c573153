"""`bench warp`: a row for each way, in milliseconds that a registration can take."""

import json

from multimodal_fusion.cli import main


def test_rows(capsys):
    assert main(['bench', 'warp', '--sizes', '64x48,96x64', '--rounds', '2', '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row['size'] for row in rows} == {'64x48', '96x64'} and len(rows) == 10
    assert all(0 < float(row['median (ms)']) + 0.01 < 1000 for row in rows)
    assert any(row['what'] == 'calibrated, straightened' for row in rows)
