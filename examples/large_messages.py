"""Large messages without copies: pictures from memory that is used again and again.

The sender has two buffers. It fills one while libzmq still reads the other, and a `Tracker` tells
when it may be filled again. The receiver looks at each picture where libzmq has put it.
"""

import threading

from ratchet import zmqsocket

SIZE = 4 << 20  # bytes of one picture
PICTURES = 8


def take(camera):
    """Fill two buffers in turn, each only when what was sent from it has left."""
    buffers = [bytearray(SIZE), bytearray(SIZE)]
    trackers = [None, None]
    for number in range(PICTURES):
        turn = number % 2
        if trackers[turn] is not None:
            trackers[turn].wait(timeout=10.0)
        buffers[turn][0] = buffers[turn][-1] = number
        trackers[turn] = camera.send(buffers[turn], copy=False)
    for tracker in trackers:
        tracker.wait(timeout=10.0)


def main():
    """One sender, one receiver; which pictures came whole."""
    with zmqsocket.new("PUSH") as camera, zmqsocket.new("PULL") as screen:
        camera.connect(screen.bind("tcp://127.0.0.1:*"))
        sender = threading.Thread(target=take, args=[camera])
        sender.start()
        whole = []
        for _ in range(PICTURES):
            frame = screen.recv_frame(timeout=10.0)
            picture = memoryview(frame)  # libzmq's memory, until the last view of it is gone
            if len(picture) == SIZE and picture[0] == picture[-1]:
                whole.append(picture[0])
            del picture, frame
        sender.join()
    return whole


if __name__ == "__main__":
    print(f"{PICTURES} pictures of {SIZE >> 20} MiB, whole ones: {main()}")
