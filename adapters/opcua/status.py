"""Status codes (Part 6, annex A.2): what each means for a value, and which fault it is as the answer to a request.

Pure. A code that is not in the table, one of a later edition for example, is judged by its severity, the two most
significant bits (Part 4, 7.39).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.model.faults import AuthFault, Busy, ConfigFault, Fault, LinkLost, ProtocolFault, TagFault, Timeout
from gateway.model.quality import Quality

CODE: Final = 0xFFFF0000
"""The part of a status that says what it is; below it are flags."""
OVERFLOW: Final = 0x00000480
"""Flags: the value comes with data flags, and others before it were lost (Part 4, table 7.39)."""
_SEVERITY: Final = (Quality.GOOD, Quality.SENSOR_UNCERTAIN, Quality.NOT_AVAILABLE, Quality.NOT_AVAILABLE)

Kind = type[Fault] | None

_TABLE: Final[dict[tuple[Quality, Kind], str]] = {
    (Quality.GOOD, None): """
        00000000=Good 002D0000=GoodSubscriptionTransferred 002E0000=GoodCompletesAsynchronously 002F0000=GoodOverload
        00300000=GoodClamped 00960000=GoodLocalOverride 00A20000=GoodEntryInserted 00A30000=GoodEntryReplaced
        00A50000=GoodNoData 00A60000=GoodMoreData 00A70000=GoodCommunicationEvent 00A80000=GoodShutdownEvent
        00A90000=GoodCallAgain 00AA0000=GoodNonCriticalTimeout 00BA0000=GoodResultsMayBeIncomplete
        00D90000=GoodDataIgnored 00DC0000=GoodEdited 00DD0000=GoodPostActionFailed
        00DF0000=GoodRetransmissionQueueNotSupported 00E00000=GoodDependentValueChanged 00EB0000=GoodSubNormal
        00EF0000=GoodPasswordChangeRequired 01160000=GoodEdited_DependentValueChanged
        01170000=GoodEdited_DominantValueChanged 01180000=GoodEdited_DominantValueChanged_DependentValueChanged
        04010000=GoodCascadeInitializationAcknowledged 04020000=GoodCascadeInitializationRequest
        04030000=GoodCascadeNotInvited 04040000=GoodCascadeNotSelected 04070000=GoodFaultStateActive
        04080000=GoodInitiateFaultState 04090000=GoodCascade
    """,
    (Quality.SENSOR_UNCERTAIN, None): """
        40000000=Uncertain 406C0000=UncertainReferenceOutOfServer 408F0000=UncertainNoCommunicationLastUsableValue
        40900000=UncertainLastUsableValue 40930000=UncertainSensorNotAccurate 40950000=UncertainSubNormal
        40A40000=UncertainDataSubNormal 40BC0000=UncertainReferenceNotDeleted 40C00000=UncertainNotAllNodesAvailable
        40DE0000=UncertainDominantValueChanged 40E20000=UncertainDependentValueChanged
        42080000=UncertainTransducerInManual 420A0000=UncertainSensorCalibration 420F0000=UncertainConfigurationError
    """,
    (Quality.SUBSTITUTED, None): """
        40910000=UncertainSubstituteValue 40920000=UncertainInitialValue 42090000=UncertainSimulatedValue
    """,
    (Quality.OUT_OF_RANGE, None): """
        40940000=UncertainEngineeringUnitsExceeded 40F20000=UncertainOverRange 40F30000=UncertainUnderRange
    """,
    (Quality.DEVICE_FAILURE, LinkLost): """
        80000000=Bad 80010000=BadUnexpectedError 80020000=BadInternalError 80820000=BadTcpInternalError
    """,
    (Quality.DEVICE_FAILURE, TagFault): """
        80520000=BadSemaphoreFileMissing 80670000=BadInvalidSelfReference 808B0000=BadDeviceFailure
        80F10000=BadTransactionFailed
    """,
    (Quality.BUSY, Busy): """
        80030000=BadOutOfMemory 80040000=BadResourceUnavailable 80560000=BadTooManySessions
        80770000=BadTooManySubscriptions 807D0000=BadTcpServerTooBusy 80810000=BadTcpNotEnoughResources
        80970000=BadRefreshInProgress 80B50000=BadWouldBlock 80B70000=BadMaxConnectionsReached
        80E80000=BadTransactionPending 80EE0000=BadServerTooBusy
    """,
    (Quality.BUSY, TagFault): """
        80100000=BadTooManyOperations 804B0000=BadNoContinuationPoints 80780000=BadTooManyPublishRequests
        80DB0000=BadTooManyMonitoredItems 81130000=BadRequestNotComplete
    """,
    (Quality.BUSY, LinkLost): """
        80B30000=BadOperationAbandoned
    """,
    (Quality.NOT_CONNECTED, LinkLost): """
        80050000=BadCommunicationError 800C0000=BadShutdown 800D0000=BadServerNotConnected 800E0000=BadServerHalted
        80220000=BadSecureChannelIdInvalid 80250000=BadSessionIdInvalid 80260000=BadSessionClosed
        80270000=BadSessionNotActivated 80280000=BadSubscriptionIdInvalid 802C0000=BadRequestCancelledByClient
        80310000=BadNoCommunication 805A0000=BadRequestCancelledByRequest 80790000=BadNoSubscription
        807F0000=BadTcpSecureChannelUnknown 80840000=BadRequestInterrupted 80860000=BadSecureChannelClosed
        80870000=BadSecureChannelTokenUnknown 808A0000=BadNotConnected 80AC0000=BadConnectionRejected
        80AD0000=BadDisconnect 80AE0000=BadConnectionClosed 80B00000=BadEndOfStream
    """,
    (Quality.UNDECODABLE, ProtocolFault): """
        80060000=BadEncodingError 80070000=BadDecodingError 80080000=BadEncodingLimitsExceeded
    """,
    (Quality.UNDECODABLE, TagFault): """
        80380000=BadDataEncodingInvalid 80390000=BadDataEncodingUnsupported 803C0000=BadOutOfRange
        80740000=BadTypeMismatch 80B60000=BadSyntaxError 81120000=BadNumericOverflow
    """,
    (Quality.PROTOCOL, ProtocolFault): """
        80090000=BadUnknownResponse 80230000=BadInvalidTimestamp 802A0000=BadRequestHeaderInvalid
        80530000=BadRequestTypeInvalid 807A0000=BadSequenceNumberUnknown 807E0000=BadTcpMessageTypeInvalid
        80800000=BadTcpMessageTooLarge 80880000=BadSequenceNumberInvalid 80BE0000=BadProtocolVersionUnsupported
    """,
    (Quality.PROTOCOL, TagFault): """
        80630000=BadTypeDefinitionInvalid 80B40000=BadExpectedStreamToBlock
    """,
    (Quality.TIMEOUT, Timeout): """
        800A0000=BadTimeout 80850000=BadRequestTimeout 80B20000=BadWaitingForResponse
    """,
    (Quality.FUNCTION_REFUSED, TagFault): """
        800B0000=BadServiceUnsupported 802B0000=BadTimestampsToReturnInvalid 803A0000=BadNotReadable
        803B0000=BadNotWritable 803D0000=BadNotSupported 80400000=BadNotImplemented 80410000=BadMonitoringModeInvalid
        80420000=BadMonitoredItemIdInvalid 80430000=BadMonitoredItemFilterInvalid
        80440000=BadMonitoredItemFilterUnsupported 80450000=BadFilterNotAllowed 80470000=BadEventFilterInvalid
        80480000=BadContentFilterInvalid 80490000=BadFilterOperandInvalid 804A0000=BadContinuationPointInvalid
        804C0000=BadReferenceTypeIdInvalid 804D0000=BadBrowseDirectionInvalid 805C0000=BadReferenceNotAllowed
        80620000=BadNodeAttributesInvalid 80660000=BadDuplicateReferenceNotAllowed 80680000=BadReferenceLocalOnly
        80690000=BadNoDeleteRights 806D0000=BadTooManyMatches 806E0000=BadQueryTooComplex 80700000=BadMaxAgeInvalid
        80710000=BadHistoryOperationInvalid 80720000=BadHistoryOperationUnsupported 80730000=BadWriteNotSupported
        80750000=BadMethodInvalid 80760000=BadArgumentsMissing 807C0000=BadInsufficientClientProfile
        808E0000=BadDeadbandFilterInvalid 80980000=BadConditionAlreadyDisabled 809A0000=BadEventIdUnknown
        809F0000=BadEntryExists 80A10000=BadTimestampNotSupported 80AB0000=BadInvalidArgument
        80BB0000=BadEventNotAcknowledgeable 80BD0000=BadInvalidTimestampArgument 80C10000=BadFilterOperatorInvalid
        80C20000=BadFilterOperatorUnsupported 80C30000=BadFilterOperandCountMismatch 80C40000=BadFilterElementInvalid
        80C50000=BadFilterLiteralInvalid 80C80000=BadNotTypeDefinition 80C90000=BadViewTimestampInvalid
        80CA0000=BadViewParameterMismatch 80CB0000=BadViewVersionInvalid 80CC0000=BadConditionAlreadyEnabled
        80CD0000=BadDialogNotActive 80CE0000=BadDialogResponseInvalid 80CF0000=BadConditionBranchAlreadyAcked
        80D00000=BadConditionBranchAlreadyConfirmed 80D10000=BadConditionAlreadyShelved
        80D20000=BadConditionNotShelved 80D30000=BadShelvingTimeOutOfRange 80D40000=BadAggregateListMismatch
        80D50000=BadAggregateNotSupported 80D60000=BadAggregateInvalidInputs
        80DA0000=BadAggregateConfigurationRejected 80E40000=BadRequestNotAllowed 80E50000=BadTooManyArguments
        80ED0000=BadLocaleNotSupported 81110000=BadNotExecutable 81150000=BadAlreadyExists
    """,
    (Quality.FUNCTION_REFUSED, ProtocolFault): """
        80B80000=BadRequestTooLarge 80B90000=BadResponseTooLarge
    """,
    (Quality.NOT_AVAILABLE, TagFault): """
        800F0000=BadNothingToDo 80320000=BadWaitingForInitialData 807B0000=BadMessageNotAvailable
        808D0000=BadOutOfService 80990000=BadConditionDisabled 809B0000=BadNoData 809D0000=BadDataLost
        809E0000=BadDataUnavailable 80AF0000=BadInvalidState 80B10000=BadNoDataAvailable 80BF0000=BadStateNotActive
        80D70000=BadBoundNotFound 80D80000=BadBoundNotSupported 80F00000=BadNoValue
    """,
    (Quality.ADDRESS_REFUSED, TagFault): """
        80110000=BadDataTypeIdUnknown 80330000=BadNodeIdInvalid 80340000=BadNodeIdUnknown
        80350000=BadAttributeIdInvalid 80360000=BadIndexRangeInvalid 80370000=BadIndexRangeNoData
        803E0000=BadNotFound 803F0000=BadObjectDeleted 804E0000=BadNodeNotInView 805B0000=BadParentNodeIdInvalid
        805D0000=BadNodeIdRejected 805E0000=BadNodeIdExists 805F0000=BadNodeClassInvalid
        80600000=BadBrowseNameInvalid 80610000=BadBrowseNameDuplicated 80640000=BadSourceNodeIdInvalid
        80650000=BadTargetNodeIdInvalid 806B0000=BadViewIdUnknown 806F0000=BadNoMatch 80A00000=BadNoEntryExists
        80E70000=BadDataSetIdInvalid 80EA0000=BadIndexRangeDataMismatch
    """,
    (Quality.AUTH, AuthFault): """
        80120000=BadCertificateInvalid 80130000=BadSecurityChecksFailed 80140000=BadCertificateTimeInvalid
        80150000=BadCertificateIssuerTimeInvalid 80160000=BadCertificateHostNameInvalid
        80170000=BadCertificateUriInvalid 80180000=BadCertificateUseNotAllowed
        80190000=BadCertificateIssuerUseNotAllowed 801A0000=BadCertificateUntrusted
        801B0000=BadCertificateRevocationUnknown 801C0000=BadCertificateIssuerRevocationUnknown
        801D0000=BadCertificateRevoked 801E0000=BadCertificateIssuerRevoked 801F0000=BadUserAccessDenied
        80200000=BadIdentityTokenInvalid 80210000=BadIdentityTokenRejected 80240000=BadNonceInvalid
        80540000=BadSecurityModeRejected 80550000=BadSecurityPolicyRejected 80570000=BadUserSignatureInvalid
        80580000=BadApplicationSignatureInvalid 80590000=BadNoValidCertificates
        80C60000=BadIdentityChangeNotSupported 80E60000=BadSecurityModeInsufficient
        810D0000=BadCertificateChainIncomplete 810E0000=BadLicenseExpired 810F0000=BadLicenseLimitsExceeded
        81100000=BadLicenseNotAvailable 81140000=BadCertificatePolicyCheckFailed
    """,
    (Quality.AUTH, TagFault): """
        80E90000=BadLocked 80EC0000=BadRequiresLock 811F0000=BadTicketRequired 81200000=BadTicketInvalid
    """,
    (Quality.CONFIG, TagFault): """
        80460000=BadStructureMissing 80500000=BadServerNameMissing 80510000=BadDiscoveryUrlMissing
        80890000=BadConfigurationError
    """,
    (Quality.CONFIG, ConfigFault): """
        804F0000=BadServerUriInvalid 806A0000=BadServerIndexInvalid 80830000=BadTcpEndpointUrlInvalid
    """,
    (Quality.SENSOR_FAILURE, TagFault): """
        808C0000=BadSensorFailure 80E10000=BadDominantValueChanged 80E30000=BadDependentValueChanged
        81190000=BadEdited_OutOfRange 811A0000=BadInitialValue_OutOfRange 811B0000=BadOutOfRange_DominantValueChanged
        811C0000=BadEdited_OutOfRange_DominantValueChanged
        811D0000=BadOutOfRange_DominantValueChanged_DependentValueChanged
        811E0000=BadEdited_OutOfRange_DominantValueChanged_DependentValueChanged
    """,
}
"""Quality of a value with such a status, and fault of a request that is answered with it → codes and names."""


def _rows() -> dict[int, tuple[str, Quality, Kind]]:
    found = {}
    for (quality, kind), text in _TABLE.items():
        for word in text.split():
            code, _, name = word.partition("=")
            found[int(code, 16)] = (name, quality, kind)
    return found


STATUS: Final = _rows()
"""Code → (name, quality of a value, fault of a request)."""


def name(status: int) -> str:
    """Name of a status, such as ``BadNodeIdUnknown``; its number when the table does not have it."""
    row = STATUS.get(status & CODE)
    return row[0] if row else f"status {status:#010x}"


def is_bad(status: int) -> bool:
    """True for severity bad."""
    return status >= 0x80000000


def quality(status: int) -> Quality:
    """Quality of a value with this status."""
    row = STATUS.get(status & CODE)
    return row[1] if row else _SEVERITY[status >> 30]


def qualities(statuses: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Quality codes of a column of statuses."""
    distinct, places = np.unique(statuses, return_inverse=True)
    return np.array([quality(status) for status in distinct.tolist()], np.uint8)[places]


class Refused(TagFault):
    """A request or node that the server refuses, while the session is none the worse."""

    def __init__(self, status: int, where: str, code: str | None = None) -> None:
        super().__init__(f"{where}: {name(status)}", code=code, quality=quality(status))
        self.status = status


def fault(status: int, where: str) -> Fault:
    """Fault of a request that was answered with this bad status."""
    row = STATUS.get(status & CODE)
    kind = row[2] if row else LinkLost
    if kind is None or issubclass(kind, TagFault):
        return Refused(status, where)
    return kind(f"{where}: {name(status)}")
