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
    health.observed(frozen=0.5)
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


# Losses: shares of the last ten seconds, with their cause -----------------------------------------


def graded(health, counters=None, now=10.0):
    report = health.report(now, SYNC, counters or Counters())
    return report.level, report.message


def fused(health, pairs, published, seconds=10.0):
    for i in range(pairs):
        health.paired(0, i * seconds / pairs, replaced=i >= published)
    for i in range(published):
        health.published(0.8, {'fuse': 0.75}, now=i * seconds / published)


def test_a_model_that_is_too_slow_is_told_with_its_time_and_the_share():
    """13 of 360 pairs are fused: 347 of 360 are 96%. One takes 0.75 s."""
    health = make()
    fused(health, 360, 13)
    level, message = graded(health)
    assert level == WARN
    assert message.startswith('96% of the pairs are overtaken by newer ones before they are fused ')
    assert '(one takes 750 ms, 1.3 a second): choose a faster' in message
    assert health.report(10.0, SYNC, Counters()).values['fused rate (Hz)'] == '1.30'


def test_frames_lost_on_the_way_are_told_by_the_gaps_in_their_stamps():
    """Of 30 Hz every second frame and a few more are missing; thermal is whole."""
    health = make()
    kept = [i for i in range(300) if i % 2 == 0 or i % 6 == 1]
    for i in kept:
        health.arrived('rgb', round(i / 30 * 1000) * MS, i / 30)
    feed(health, 'thermal', 9, 10)
    health.dropped('rgb', 100)
    fused(health, 90, 90)
    level, message = graded(health)
    assert level == WARN
    assert message.startswith('33% of the rgb frames are missing, 100 of them by the middleware')
    assert 'Fast DDS profile' in message


def test_a_camera_that_follows_the_light_has_no_gaps():
    """Intervals of 33, 41 and 52 ms, as exposure asks for: nothing is missing."""
    health, at = make(), 0
    for i in range(200):
        at += (33, 41, 52, 47)[i % 4]
        health.arrived('rgb', at * MS, at / 1000)
    feed(health, 'thermal', 9, 9)
    fused(health, 80, 80)
    assert graded(health, now=at / 1000)[0] == OK


def test_many_clock_resets_are_told_and_one_is_not():
    health = make()
    fused(health, 90, 90)
    assert graded(health, Counters(resets=1)) == (OK, 'fusing')
    health = make()
    fused(health, 90, 90)
    level, message = graded(health, Counters(resets=135))
    assert level == WARN and message.startswith('the clock jumped back 135 times')


def test_frames_out_of_order_are_told():
    health, counters = make(), Counters()
    feed(health, 'rgb', 30, 10)
    feed(health, 'thermal', 9, 10)
    fused(health, 90, 90)
    counters.late['rgb'] = 60
    level, message = graded(health, counters)
    assert level == WARN and message.startswith('20% of the rgb frames come twice or out of order')
    assert 'sync.reset_after' in message


def test_losses_are_forgotten_once_they_are_over():
    health = make()
    feed(health, 'rgb', 30, 10)
    feed(health, 'thermal', 30, 10)
    for _ in range(100):
        health.refused('rgb encoding', 'no such encoding')
    fused(health, 100, 100)
    assert graded(health)[0] == WARN
    for second in range(11, 25):
        for i in range(30):
            health.arrived('rgb', (second * 30 + i) * 33 * MS, second + i / 30)
            health.arrived('thermal', (second * 30 + i) * 33 * MS, second + i / 30)
            health.paired(0, second + i / 30, replaced=False)
            health.published(0.01, now=second + i / 30)
        last = graded(health, now=second + 1.0)
    assert last == (OK, 'fusing')


def test_a_stream_older_than_a_few_periods_is_a_warning_long_before_the_error():
    health = make()
    feed(health, 'rgb', 30, 2)
    feed(health, 'thermal', 9, 1)
    health.paired(0, 1.0, replaced=False)
    level, message = graded(health, now=1.6)
    assert level == WARN and message.startswith('thermal does not come: last frame 0.7 s ago')


def test_nobody_listening_is_said():
    health = make()
    health.paired(0, 1.0, replaced=False, wanted=False)
    assert graded(health, now=1.5) == (OK, 'pairing; nobody listens to the fused images')


# Late arrival and other clocks --------------------------------------------------------------------


def arrive(health, name, rate, seconds, delay):
    """delay: of the arrival, after the stamp, by the node's clock."""
    for i in range(int(rate * seconds)):
        at = i / rate
        health.arrived(name, round((at - delay) * 1000) * MS, at, clock=at)


def test_a_clock_that_runs_ahead_is_told_by_stamps_from_the_future():
    health = make()
    arrive(health, 'rgb', 30, 6, 0.02)
    arrive(health, 'thermal', 9, 6, -3.9)
    text = health.silence(6.0, SYNC)
    assert 'The stamps of thermal lie 3.900 s in the future, so its clock runs ahead' in text
    assert 'set sync.thermal_time_offset to -3.920' in text


def test_a_stream_later_than_the_longest_wait_is_told_with_both_ways_out():
    health = make()
    arrive(health, 'rgb', 30, 6, 0.0)
    arrive(health, 'thermal', 9, 6, 3.0)
    text = health.silence(6.0, SYNC)
    assert 'thermal arrives 3.0 s after its stamps, and frames wait no longer than' in text
    assert 'set sync.max_wait to 4.0; if its clock runs behind, set' in text


def test_stamps_that_stand_still_are_told_before_any_offset():
    health = make()
    feed(health, 'rgb', 30, 6)
    for i in range(50):
        health.arrived('thermal', 1000 * MS, i / 9)
    text = health.silence(6.0, SYNC)
    assert 'the stamps of thermal stand still (50 frames on /thermal/image_raw' in text
    assert 'offset' not in text


# Silence ------------------------------------------------------------------------------------------


def test_which_stream_is_alone_by_the_nodes_clock():
    """Sped up or slowed down time counts, not that of the wall: the clock says 0.4 s, not 4."""
    health = make()
    health.arrived('rgb', 0, 0.0, clock=100.0)
    health.arrived('thermal', 0, 0.0, clock=100.0)
    health.arrived('rgb', 1, 4.0, clock=100.4)
    assert health.alone(100.4) == ''
    health.arrived('rgb', 2, 5.0, clock=101.2)
    assert health.alone(101.2) == 'rgb' and health.act(101.2) == 'hold'
    assert health.state(101.2) == 'fused; rgb=OK; thermal=SILENT; stall=hold'
    health.arrived('rgb', 3, 6.0, clock=103.1)
    assert health.state(103.1) == 'rgb; rgb=OK; thermal=SILENT; stall=pass'
    assert health.alone(105.0) == ''
    assert health.state(105.0) == 'none; rgb=SILENT; thermal=SILENT'


def test_states_of_a_frozen_camera_by_policy():
    for policy, out in (('hold', 'fused'), ('pass', 'rgb'), ('drop', 'none')):
        health = make(thermal=policy)
        for name in ('rgb', 'thermal'):
            health.arrived(name, 0, 1.0)
        health.paired(0, 1.0, replaced=False)
        health.observed(frozen=0.4)
        assert health.state(1.1) == f'{out}; rgb=OK; thermal=FROZEN; stall={policy}'
        health.observed(frozen=2.4)  # 0.3 s until it counts, then two of holding
        then = 'pass' if policy == 'hold' else policy
        assert health.state(1.2).endswith(f'; stall={then}')
        health.observed(frozen=0.0)
        assert health.state(1.3) == 'fused; rgb=OK; thermal=OK'


def test_the_old_policy_still_holds():
    for policy, act in (('fuse', 'hold'), ('visible', 'pass'), ('drop', 'drop')):
        stall = StallSettings(policy=policy, thermal='pass', rgb='hold')
        assert stall.act('thermal', 0.0) == stall.act('rgb', 0.0) == act
        assert f'set stall.thermal and stall.rgb to {act}' in stall.notice
    assert StallSettings().notice == ''


def test_a_stream_that_cannot_be_used_is_mismatched_and_the_other_is_not():
    health = make()
    for i in range(61):
        clock = i / 30
        health.arrived('rgb', i, clock)
        health.arrived('thermal', i, clock)
        health.refused('thermal encoding', 'image encoding is not supported')
        if i == 20:
            assert health.state(clock) == 'none; rgb=OK; thermal=OK'
    assert health.state(2.0) == 'none; rgb=OK; thermal=MISMATCHED'
    health.paired(0, 2.1, replaced=0)
    assert 'thermal=MISMATCHED' in health.state(2.9)  # until it is calm
    for i in range(61, 100):
        for name in ('rgb', 'thermal'):
            health.arrived(name, i, i / 30)
        health.paired(0, i / 30, replaced=0)
        line = health.state(i / 30)
    assert line == 'fused; rgb=OK; thermal=OK'


def test_what_is_long_past_is_stale_and_what_is_due_is_late():
    health = make()
    for i in range(60):
        now = 10 + i / 30
        health.arrived('rgb', round((now - 1.5) * 1000 * MS), now, clock=now)
        health.arrived('thermal', round(now * 1000 * MS), now, clock=now)
        health.paired(0, now, replaced=0, clock=now)
    assert health.state(now, now) == 'fused; rgb=STALE; thermal=OK'
    assert health.state(now + 0.4, now + 0.4) == 'fused; rgb=STALE; thermal=LATE'
