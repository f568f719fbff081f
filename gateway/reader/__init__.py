"""For platform developers: from MQTT messages to values, with proof of what is missing and what came twice.

Feed every message of ``xingsha/v1/+/#`` to a `Reader`, in any order; it gives back events. Ten lines with paho::

    import paho.mqtt.client as mqtt
    from gateway.reader import Frames, Reader

    reader = Reader()

    def on_message(client, userdata, message):
        for event in reader.feed(message.topic, message.payload):
            if isinstance(event, Frames):
                for row in event.rows():                      # or event.frames[0].columns[0].values: numpy
                    print(event.gateway, row.device, row.tag, row.value, row.unit)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.connect("broker.example")
    client.subscribe("xingsha/v1/+/#", qos=1)
    client.loop_forever()

``reader.report()`` says, per gateway, how many batches came, which came twice, and which are missing without a gap
record that explains them. Times of a gateway whose clock nobody vouched for are corrected as soon as it says by how
much they were off; for values given before, there is the event `Corrected`. Imports gateway.model only: it runs
wherever numpy, msgspec and zstandard do.
"""

from gateway.reader.events import Corrected, Declared, DeviceRow, Duplicate, Event, Frames, JsonFrame, Malformed, Status
from gateway.reader.reader import Reader
from gateway.reader.tracking import Journal, Report

__all__ = [
    "Corrected", "Declared", "DeviceRow", "Duplicate", "Event", "Frames", "Journal", "JsonFrame", "Malformed", "Reader",
    "Report", "Status",
]  # fmt: skip
