import threading

from ksim_cli.view.desk import Board, Desk, Labels, Pause, Restart, SingleStep


def test_orders_come_in_order_from_any_thread_and_once():
    desk = Desk(Labels("robot", {}, 0.02))
    threads = [threading.Thread(target=desk.put, args=(Pause(bool(i % 2)),)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(desk.take()) == 20 and desk.take() == []
    for order in (SingleStep(), Restart()):
        desk.put(order)
    assert desk.take() == [SingleStep(), Restart()]
    assert desk.board == Board()
