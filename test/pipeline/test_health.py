"""What the node says about itself. Times are made up: seconds of a steady clock."""

from multimodal_fusion.pipeline.health import ERROR, OK, WARN, Health
from multimodal_fusion.pipeline.pairing import Counters, SyncSettings
from multimodal_fusion.pipeline.stall import StallSettings

MS = 1_000_000
SYNC = SyncSettings()


def make(**options):
    topics = {'rgb': '/rgb/image_raw', 'thermal': '/thermal/image_raw'}
    return Health(topics, StallSettings(**options), start=0.0)


def feed(health, name, rate, seconds, offset=0):
    for i in range(int(rate * seconds)):
        health.arrived(name, round(i / rate * 1000) * MS + offset, i / rate)


def test_a_silent_topic_is_named_with_what_to_try():
    health = make()
    feed(health, 'rgb', 30, 6)
    text = health.silence(6.0, SYNC)
    assert text.startswith('no pair for 6.0 s: /rgb/image_raw: 30.0 Hz, last frame 0.0 s ago; ')
    assert '/thermal/image_raw: no frame yet. Nothing comes on /thermal/image_raw: ' in text
    assert 'qos.reliability' in text
    assert health.silence(4.0, SYNC) == ''


def test_a_gap_over_the_slop_is_told_with_the_offset_to_set():
    """Thermal stamps run 200 ms behind: -200 ms apart, so +0.2 s is to be added to them."""
    health = make()
    feed(health, 'rgb', 10, 6)
    feed(health, 'thermal', 10, 6, offset=-200 * MS)
    text = health.silence(6.0, SYNC)
    assert '-200 ms apart (thermal minus rgb, sync.slop is 50 ms)' in text
    assert 'set sync.thermal_time_offset to +0.200' in text


def test_clocks_of_different_epochs_are_told():
    health = make()
    feed(health, 'rgb', 10, 6, offset=1_700_000_000 * 1000 * MS)
    feed(health, 'thermal', 10, 6)
    assert 'the cameras use different clocks' in health.silence(6.0, SYNC)


def test_refused_frames_are_told():
    health = make()
    feed(health, 'rgb', 10, 6)
    feed(health, 'thermal', 10, 6)
    for _ in range(60):
        health.refused('thermal encoding')
    assert 'Frames come but are refused (thermal encoding 60)' in health.silence(6.0, SYNC)


def test_the_report_counts_and_grades():
    health, counters = make(), Counters(paired=3)
    assert health.report(0.0, SYNC, counters).message == 'waiting for the first pair'
    feed(health, 'rgb', 30, 2)
    feed(health, 'thermal', 9, 2)
    health.paired(4 * MS, 1.9, replaced=False)
    health.paired(6 * MS, 1.95, replaced=True)
    for latency in (0.004, 0.006):
        health.published(latency)
    report = health.report(2.0, SYNC, counters)
    assert (report.level, report.message) == (OK, 'fusing')
    assert report.values['rgb rate (Hz)'] == '30.00'
    assert report.values['thermal rate (Hz)'] == '9.00'
    assert report.values['pairs'] == '3'
    assert report.values['replaced by newer'] == '1'
    assert report.values['skew median (ms)'] == '5.00'
    assert report.values['latency p50 (ms)'] == '5.00'
    health.observed(frozen=True)
    assert health.report(2.0, SYNC, counters).level == WARN
    assert health.report(9.0, SYNC, counters).level == ERROR


def test_a_stream_that_stops_loses_its_rate():
    health = make()
    feed(health, 'rgb', 30, 2)
    assert float(health.report(6.9, SYNC, Counters()).values['rgb rate (Hz)']) < 1
    assert health.report(20.0, SYNC, Counters()).values['rgb rate (Hz)'] == '0.00'


def test_pairs_that_cannot_be_fused_are_an_error_until_one_can():
    health, counters = make(), Counters(paired=3)
    health.paired(4 * MS, 1.0, replaced=False)
    health.refused('pair mismatch', 'the visible image is 9x9, the thermal image 8x8', pair=True)
    report = health.report(2.0, SYNC, counters)
    assert report.level == ERROR
    assert report.message.startswith('pairs come but cannot be fused: the visible image is 9x9')
    health.published(0.01)
    assert health.report(2.0, SYNC, counters).level == OK


def test_old_refusals_do_not_hide_a_gap():
    health = make()
    health.refused('rgb encoding')
    health.paired(0, 1.0, replaced=False)
    feed(health, 'rgb', 10, 8)
    feed(health, 'thermal', 10, 8, offset=-7400 * MS)
    assert '-7400 ms apart' in health.silence(8.0, SYNC)


def test_only_the_conflict_of_the_silent_topic_is_blamed():
    health = make()
    health.conflict('/fused/image_raw', 'a subscriber asks for more')
    assert 'a subscriber asks' not in health.silence(6.0, SYNC)
    health.conflict('/rgb/image_raw', 'a publisher offers less')
    assert 'a publisher offers less' in health.silence(6.0, SYNC)


def test_stages_are_reported_each_by_itself():
    """Medians of 1 and 3 ms are 2 ms; a stage that only one pair went through has its own."""
    health = make()
    health.published(0.004, {'fuse': 0.001, 'publish': 0.0005})
    health.published(0.004, {'fuse': 0.003})
    values = health.report(1.0, SYNC, Counters()).values
    assert (values['fuse p50 (ms)'], values['publish p50 (ms)']) == ('2.000', '0.500')
    assert 2.9 < float(values['fuse p99 (ms)']) <= 3.0
    assert 'decode p50 (ms)' not in values
